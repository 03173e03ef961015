//! The chain against llama.cpp's, distributions against their exact expectation, and logits that no model should give.

use serde_json::Value as Json;

use super::{Best, Sampler, SamplerState};
use crate::sampler::SamplerOptions;

/// Options with every filter off.
fn open(seed: u64) -> SamplerOptions {
    SamplerOptions { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: Some(seed), ..SamplerOptions::default() }
}

fn sampler(options: SamplerOptions, vocabulary: usize) -> Sampler {
    Sampler::new(options, vocabulary).expect("valid options")
}

/// Logits that differ from each other, the same on every run.
fn logits(vocabulary: usize, spread: f32) -> Vec<f32> {
    let mut random = crate::sampler::random::Random::new(11);
    (0..vocabulary).map(|_| spread * (random.unit() + random.unit() + random.unit() - 1.5) as f32).collect()
}

/// Ids left by the last call and their probabilities, by id.
fn left(sampler: &Sampler) -> Vec<(u32, f64)> {
    let total: f64 = sampler.candidates.iter().map(|candidate| candidate.weight).sum();
    let mut left: Vec<(u32, f64)> = sampler.candidates.iter().map(|c| (c.id, c.weight / total)).collect();
    left.sort_unstable_by_key(|&(id, _)| id);
    left
}

#[test]
fn the_chain_leaves_what_llama_cpp_leaves() {
    let entries: Vec<Json> = serde_json::from_str(include_str!("llama_chain.json")).expect("make.py writes JSON");
    assert!(entries.len() > 20);
    let numbers = |json: &Json| -> Vec<f64> {
        json.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
    };
    for entry in entries {
        let given = &entry["options"];
        let option = |name: &str, default: f32| given[name].as_f64().map_or(default, |x| x as f32);
        let options = SamplerOptions {
            temperature: option("temperature", 1.0),
            top_k: given["top_k"].as_u64().unwrap_or(0) as usize,
            top_p: option("top_p", 1.0),
            min_p: option("min_p", 0.0),
            typical_p: option("typical_p", 1.0),
            repetition_penalty: option("repetition_penalty", 1.0),
            frequency_penalty: option("frequency_penalty", 0.0),
            presence_penalty: option("presence_penalty", 0.0),
            penalty_window: 8,
            ..open(1)
        };
        let mut logits: Vec<f32> = numbers(&entry["logits"]).into_iter().map(|x| x as f32).collect();
        let mut sampler = sampler(options, logits.len());
        numbers(&entry["recent"]).into_iter().for_each(|id| sampler.accept(id as u32));
        sampler.sample(&mut logits).expect("finite logits");
        let left = left(&sampler);
        let ids: Vec<f64> = left.iter().map(|&(id, _)| f64::from(id)).collect();
        assert_eq!(ids, numbers(&entry["kept"]), "{given}");
        for (&(id, p), expected) in left.iter().zip(numbers(&entry["p"])) {
            // llama.cpp adds up in f32; make.py rounds to seven digits.
            assert!((p - expected).abs() < 2e-6, "{given} token {id}: {p} and {expected}");
        }
    }
}

/// A plain account of the chain, with every step on a full sorted list of probabilities.
fn plain_chain(logits: &[f32], options: &SamplerOptions) -> Vec<u32> {
    let mut all: Vec<(u32, f64)> = logits.iter().zip(0..).map(|(&logit, id)| (id, f64::from(logit))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if options.top_k > 0 {
        all.truncate(options.top_k);
    }
    let normalize = |list: &mut Vec<(u32, f64)>| {
        let total: f64 = list.iter().map(|(_, p)| p).sum();
        list.iter_mut().for_each(|(_, p)| *p /= total);
    };
    let max = all[0].1;
    all.iter_mut().for_each(|(_, x)| *x = (*x - max).exp());
    normalize(&mut all);
    let keep_until = |list: &mut Vec<(u32, f64)>, enough: &dyn Fn(f64) -> bool| {
        let mut sum = 0.0;
        let end = list.iter().position(|(_, p)| {
            sum += p;
            enough(sum)
        });
        list.truncate(end.map_or(list.len(), |end| end + 1));
    };
    if options.typical_p < 1.0 {
        let entropy: f64 = all.iter().map(|(_, p)| -p * p.ln()).sum();
        all.sort_by(|a, b| (-a.1.ln() - entropy).abs().total_cmp(&(-b.1.ln() - entropy).abs()));
        keep_until(&mut all, &|sum| sum > f64::from(options.typical_p));
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        normalize(&mut all);
    }
    if options.top_p < 1.0 {
        keep_until(&mut all, &|sum| sum >= f64::from(options.top_p));
    }
    let least = all[0].1 * f64::from(options.min_p);
    all.retain(|(_, p)| *p >= least);
    let mut ids: Vec<u32> = all.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn large_vocabularies_keep_what_a_plain_account_keeps() {
    let cases = [
        SamplerOptions { top_k: 40, ..open(1) },
        SamplerOptions { top_k: 40, top_p: 0.95, min_p: 0.05, ..open(1) },
        SamplerOptions { top_k: 5000, top_p: 0.5, ..open(1) },
        SamplerOptions { top_p: 0.01, ..open(1) },
        SamplerOptions { top_p: 0.6, ..open(1) },
        SamplerOptions { top_p: 0.999, ..open(1) },
        SamplerOptions { min_p: 0.3, ..open(1) },
        SamplerOptions { typical_p: 0.4, ..open(1) },
        SamplerOptions { typical_p: 0.9, top_p: 0.5, min_p: 0.2, ..open(1) },
        SamplerOptions { top_k: 1, ..open(1) },
        SamplerOptions { top_k: 1 << 40, top_p: 0.2, ..open(1) },
    ];
    for options in cases {
        for (vocabulary, spread) in [(1, 1.0), (255, 3.0), (257, 1.0), (20_000, 2.0), (20_000, 12.0)] {
            let logits = logits(vocabulary, spread);
            let mut sampler = sampler(options.clone(), vocabulary);
            sampler.sample(&mut logits.clone()).expect("finite logits");
            let ids: Vec<u32> = left(&sampler).iter().map(|&(id, _)| id).collect();
            assert_eq!(ids, plain_chain(&logits, &options), "{vocabulary} {spread} {options:?}");
        }
    }
}

#[test]
fn draws_follow_the_distribution() {
    const DRAWS: u32 = 20_000;
    /// 99.9 % of fair samples are below these, by degrees of freedom from 1.
    const LIMITS: [f64; 9] = [10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32, 26.12, 27.88];
    let logits = [0.0, 1.0, -1.0, 2.0, 0.5, 1.5, -0.5, 2.5, 1.0, 0.2];
    let cases = [
        open(1),
        SamplerOptions { temperature: 0.6, ..open(2) },
        SamplerOptions { temperature: 2.5, ..open(3) },
        SamplerOptions { top_k: 4, ..open(4) },
        SamplerOptions { top_p: 0.8, temperature: 1.2, ..open(5) },
        SamplerOptions { logit_bias: vec![(0, 2.0), (7, f32::NEG_INFINITY)], ..open(6) },
    ];
    for options in cases {
        let mut biased = logits;
        options.logit_bias.iter().for_each(|&(id, bias)| biased[id as usize] += bias);
        let kept = plain_chain(&biased, &options);
        let weight = |id: u32| (f64::from(biased[id as usize]) / f64::from(options.temperature)).exp();
        let total: f64 = kept.iter().map(|&id| weight(id)).sum();
        let mut sampler = sampler(options.clone(), logits.len());
        let mut counts = [0_u32; 10];
        for _ in 0..DRAWS {
            counts[sampler.sample(&mut logits.clone()).expect("finite logits") as usize] += 1;
        }
        let possible: Vec<u32> = kept.into_iter().filter(|&id| weight(id) > 0.0).collect();
        assert_eq!(counts.iter().filter(|&&n| n > 0).count(), possible.len(), "{options:?}");
        let chi2: f64 = possible
            .iter()
            .map(|&id| {
                let expected = weight(id) / total * f64::from(DRAWS);
                (f64::from(counts[id as usize]) - expected).powi(2) / expected
            })
            .sum();
        assert!(chi2 < LIMITS[possible.len() - 2], "{options:?}: {chi2} {counts:?}");
    }
}

#[test]
fn extreme_logits_are_never_chosen_wrongly() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let cases: [(&[f32], &[u32]); 9] = [
        (&[nan, 1.0, nan], &[1]),
        (&[-inf, -inf, -3e38], &[2]),
        (&[0.0, inf, 5.0], &[1]),
        (&[inf, 0.0, inf, nan], &[0, 2]),
        (&[3e38, -3e38], &[0]),
        (&[nan, nan], &[]),
        (&[-inf, nan], &[]),
        (&[], &[]),
        (&[2.0, 2.0], &[0, 1]),
    ];
    let options = [
        SamplerOptions::greedy(),
        SamplerOptions { seed: Some(1), ..SamplerOptions::default() },
        open(1),
        SamplerOptions { typical_p: 0.5, top_p: 0.9, min_p: 0.1, temperature: 100.0, ..open(2) },
        SamplerOptions { temperature: 1e-30, ..open(3) },
        SamplerOptions { top_k: 2, top_p: 0.0, typical_p: 0.0, min_p: 1.0, ..open(4) },
    ];
    for (logits, allowed) in cases {
        for options in &options {
            let mut sampler = sampler(options.clone(), logits.len());
            for _ in 0..20 {
                let chosen = sampler.sample(&mut logits.to_vec());
                assert_eq!(chosen.is_some(), !allowed.is_empty(), "{logits:?} {options:?}");
                assert!(chosen.is_none_or(|id| allowed.contains(&id)), "{logits:?} {options:?}: {chosen:?}");
            }
        }
    }
}

#[test]
fn greedy_takes_the_first_of_the_greatest_and_minds_penalties_and_bias() {
    let mut plain = sampler(SamplerOptions::greedy(), 4);
    assert_eq!(plain.sample(&mut [1.0, 3.0, 3.0, 2.0]), Some(1));
    let mut biased = sampler(SamplerOptions { logit_bias: vec![(3, 2.0)], ..SamplerOptions::greedy() }, 4);
    assert_eq!(biased.sample(&mut [1.0, 3.0, 3.0, 2.0]), Some(3));
    let mut fined = sampler(SamplerOptions { repetition_penalty: 2.0, ..SamplerOptions::greedy() }, 4);
    fined.accept(1);
    fined.accept(99);
    assert_eq!(fined.sample(&mut [1.0, 3.0, 3.0, 2.0]), Some(2));
}

#[test]
fn a_restored_sampler_goes_on_with_the_same_tokens() {
    let options = SamplerOptions { repetition_penalty: 1.2, frequency_penalty: 0.3, penalty_window: 5, ..open(9) };
    let logits = logits(300, 4.0);
    let step = |sampler: &mut Sampler| {
        let id = sampler.sample(&mut logits.clone()).expect("finite logits");
        sampler.accept(id);
        id
    };
    let mut first = sampler(options.clone(), logits.len());
    (0..17).for_each(|_| {
        step(&mut first);
    });
    let state = first.state();
    assert_eq!(state.recent.len(), 5);
    let expected: Vec<u32> = (0..20).map(|_| step(&mut first)).collect();
    first.restore(&state);
    assert_eq!((0..20).map(|_| step(&mut first)).collect::<Vec<_>>(), expected);
    let mut second = sampler(SamplerOptions { seed: Some(77), ..options }, logits.len());
    second.restore(&state);
    assert_eq!((0..20).map(|_| step(&mut second)).collect::<Vec<_>>(), expected);
}

#[test]
fn a_state_with_too_many_tokens_keeps_the_last() {
    let mut sampler = sampler(SamplerOptions { presence_penalty: 1.0, penalty_window: 2, ..open(1) }, 9);
    sampler.restore(&SamplerState { random: 5, recent: vec![1, 2, 3, 4] });
    assert_eq!(sampler.state(), SamplerState { random: 5, recent: vec![3, 4] });
}

#[test]
fn the_scratch_never_grows() {
    for options in [SamplerOptions { seed: Some(1), ..SamplerOptions::default() }, open(1)] {
        let mut sampler = sampler(SamplerOptions { typical_p: 0.9, top_p: 0.9, ..options }, 5000);
        let before = (sampler.candidates.as_ptr(), sampler.candidates.capacity());
        for _ in 0..50 {
            sampler.sample(&mut logits(5000, 3.0)).expect("finite logits");
            assert_eq!((sampler.candidates.as_ptr(), sampler.candidates.capacity()), before);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_tokens_as_ever() {
    // Recorded once: a change of the chain's arithmetic or of the random numbers breaks saved sessions.
    let mut sampler = sampler(SamplerOptions { seed: Some(42), ..SamplerOptions::default() }, 1000);
    let logits = logits(1000, 8.0);
    let ids: Vec<u32> = (0..8).map(|_| sampler.sample(&mut logits.clone()).expect("finite logits")).collect();
    assert_eq!(ids, [734, 673, 673, 673, 963, 673, 673, 673]);
}

#[test]
fn an_unset_seed_is_taken_from_the_system_and_told() {
    let options = || SamplerOptions { seed: None, ..SamplerOptions::default() };
    let (first, second) = (sampler(options(), 10), sampler(options(), 10));
    assert_ne!(first.seed(), second.seed());
}

#[test]
fn the_likeliest_of_each_part_of_the_vocabulary_decide_as_all_logits_do() {
    const VOCABULARY: usize = 1000;
    let hard = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1.5, 1.5, f32::INFINITY];
    for (case, top_k) in [1, 2, 7, 40, 256, 0].into_iter().cycle().take(60).enumerate() {
        // Few different values: many ties. Every third case has logits that no model should give.
        let mut logits: Vec<f32> =
            logits(VOCABULARY, 9.0).into_iter().map(|x| (x + case as f32 * 0.1).round()).collect();
        if case % 3 == 0 {
            logits.iter_mut().skip(case).step_by(97).zip(hard).for_each(|(logit, hard)| *logit = hard);
        }
        let options = SamplerOptions {
            temperature: if case % 2 == 0 { 0.9 } else { 0.0 },
            top_k,
            repetition_penalty: 1.3,
            presence_penalty: 0.5,
            logit_bias: vec![(5, 3.0), (999, f32::NEG_INFINITY), (500, 20.0)],
            ..open(case as u64)
        };
        let (mut whole, mut parts) = (sampler(options.clone(), VOCABULARY), sampler(options, VOCABULARY));
        for id in [3, 500, 7, 500] {
            whole.accept(id);
            parts.accept(id);
        }
        let Some(most) = parts.decisive() else {
            assert_eq!((top_k, case % 2), (0, 0), "all tokens may come");
            continue;
        };
        for workers in [1, 2, 5] {
            let mut kept: Vec<Best> = (0..workers).map(|_| Best::default()).collect();
            for (chunk, logits) in logits.chunks(28).enumerate() {
                let mut logits = logits.to_vec();
                let first = (chunk * 28) as u32;
                parts.adjust(first, &mut logits);
                kept[chunk * 7 % workers].offer(most, first, &logits);
            }
            assert_eq!(parts.sample_best(kept.iter()), whole.sample(&mut logits.clone()), "case {case}");
        }
    }
}
