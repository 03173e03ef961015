//! The word lists of `sentences/words.txt`, by name.

use std::collections::HashMap;
use std::sync::LazyLock;

static LISTS: LazyLock<HashMap<&'static str, Vec<&'static str>>> =
    LazyLock::new(|| parse(include_str!("../../sentences/words.txt")));

/// The list called `name`. Panics if the file has none.
pub fn list(name: &str) -> &'static [&'static str] {
    LISTS.get(name).unwrap_or_else(|| panic!("words.txt has no list {name}"))
}

/// `name: a|b|…`, where lines that begin with a space go on.
fn parse(text: &'static str) -> HashMap<&'static str, Vec<&'static str>> {
    let mut lists: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut current = "";
    for line in text.lines() {
        let items = match line.strip_prefix(' ') {
            Some(more) => more,
            None => {
                let (name, items) = line.split_once(": ").expect("a list has a name");
                current = name;
                items
            }
        };
        let list = lists.entry(current).or_default();
        list.extend(items.split('|').filter(|item| !item.is_empty()));
    }
    lists
}
