//! Which small files have a GPU, and what the others are told.

use sprat::error::GpuFault;
use sprat::{Backend, Error, Model, OpenOptions};
use sprat_gguf::TensorKind;
use sprat_tests::families::{FAMILIES, ON_A_GPU};
use sprat_tests::small::Small;

use crate::players::{Refusing, open};

#[test]
fn each_family_has_a_gpu_or_is_told_what_there_are_no_shaders_for() {
    for family in FAMILIES {
        let path = Small::new(family.name, TensorKind::F16).path();
        let player = || Box::new(Refusing { memory: false, asked: Default::default() });
        let gpu = open(player(), &path, Backend::Auto).info().gpu.clone();
        let is_supported = ON_A_GPU.contains(&family.name);
        match gpu {
            Ok(()) => assert!(is_supported, "{}", family.name),
            Err(GpuFault::Unsupported { what }) => assert!(!is_supported, "{}: {what}", family.name),
            Err(fault) => panic!("{}: {fault}", family.name),
        }
        let options = OpenOptions { backend: Backend::Gpu, ..OpenOptions::default() };
        match Model::open_on(player(), &*path, &options) {
            Ok(_) => assert!(is_supported, "{}", family.name),
            Err(error) => assert!(matches!(error, Error::Gpu(_)) && !is_supported, "{}: {error}", family.name),
        }
    }
}
