//! Objects of the bucket that are shorter than they were: an error that names them, never a gap.

use super::host::{Host, files_below};
use super::samples::Samples;

#[test]
fn what_is_cut_short_is_an_error_that_names_it() {
    let (mut host, mut samples) = (Host::with_files(), Samples::new(6));
    for hour in 0..3 {
        samples.write(host.addr(), hour);
    }
    host.flushed();
    host.lose_disk();
    samples.check(host.addr(), "all is whole");
    let files = files_below(&host.bucket());
    // Of a block that has the index, its data and what it is; and the index of all.
    let block =
        files.iter().find(|file| file.ends_with("index")).and_then(|file| file.parent()).expect("a block");
    let of_block = files.iter().filter(|file| file.starts_with(block) && !file.ends_with("tombstones"));
    let of_all = files.iter().filter(|file| file.ends_with("bucket-index.json.gz"));
    let damaged: Vec<_> = of_block.chain(of_all).collect();
    assert!(damaged.len() >= 4, "{damaged:?}");
    for file in damaged {
        let whole = std::fs::read(file).expect("it is there");
        for length in [0, whole.len() / 2, whole.len() - 1] {
            std::fs::write(file, &whole[..length]).expect("it is written");
            host.lose_disk();
            let context = format!("{} of {} bytes of {}", length, whole.len(), file.display());
            match samples.check_or_refusal(host.addr(), &context) {
                Some(refusal) => {
                    let name = block.file_name().expect("a name").to_string_lossy();
                    assert!(
                        refusal.contains(&*name) || refusal.contains("bucket-index"),
                        "{context}: {refusal}"
                    );
                }
                // A bracket that is missing at the very end of what nobody needs.
                None => assert_eq!(length, whole.len() - 1, "{context}: nobody noticed"),
            }
        }
        std::fs::write(file, &whole).expect("it is written");
    }
    host.lose_disk();
    samples.check(host.addr(), "all is whole again");
}
