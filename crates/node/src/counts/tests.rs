use tollgate_core::limit::Counted;
use uuid::Uuid;

use super::*;

fn record(subject: u128, used: u64) -> CounterRecord {
    let counted = Counted::Fixed { start_secs: 1_700_000_000, end_secs: u64::MAX / 2_000_000, used };
    CounterRecord { subject: Subject(Uuid::from_u128(subject)), window: Window::CalendarMonth, counted }
}

fn over() -> CounterRecord {
    CounterRecord { counted: Counted::Fixed { start_secs: 0, end_secs: 1, used: 9 }, ..record(9, 9) }
}

/// What is kept and counts.
fn kept(directory: &Path) -> Vec<CounterRecord> {
    let (_, mut records) = Counts::open(directory).unwrap();
    let now = now();
    records.retain(|record| now < record.over_at());
    records.sort_by_key(|record| record.subject);
    records
}

#[test]
fn the_last_count_of_a_window_is_kept_until_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let (mut counts, none) = Counts::open(folder.path()).unwrap();
    assert_eq!(none, []);
    counts.append(vec![record(1, 1), record(2, 5), over()]);
    counts.append(vec![record(1, 2)]);
    assert_eq!(kept(folder.path()), [record(1, 2), record(2, 5)]);
    counts.merge(now());
    assert_eq!(kept(folder.path()), [record(1, 2), record(2, 5)]);
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, [FILE]);
    // After a merge it goes on in the new file.
    counts.append(vec![record(1, 3)]);
    assert_eq!(kept(folder.path()), [record(1, 3), record(2, 5)]);
}

/// It may be over by a clock alone that is ahead just now.
#[test]
fn what_is_over_at_a_start_is_forgotten_by_a_merge_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let (mut counts, _) = Counts::open(folder.path()).unwrap();
    counts.append(vec![over()]);
    counts.append(vec![record(1, 1)]);
    let opened = || Counts::open(folder.path()).unwrap().1.len();
    assert_eq!(opened(), 2);
    counts.merge(now());
    assert_eq!(opened(), 1);
}

#[test]
fn what_cannot_be_written_waits_for_as_long_as_it_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (mut counts, _) = Counts::open(folder.path()).unwrap();
    counts.append(vec![record(1, 1)]);
    let path = folder.path().join(FILE);
    let writable = std::mem::replace(&mut counts.file, File::open(&path).unwrap());
    // What was counted here and counts elsewhere now.
    let moved =
        CounterRecord { counted: Counted::Fixed { start_secs: 0, end_secs: 0, used: 0 }, ..record(1, 1) };
    counts.append(vec![moved, over(), record(2, 1)]);
    counts.append(vec![record(2, 5)]);
    assert_eq!(counts.unsaved.len(), 2);
    counts.file = writable;
    counts.append(Vec::new());
    assert_eq!(kept(folder.path()), [record(2, 5)]);
}

#[test]
fn a_count_that_could_not_be_written_and_is_over_brings_none_back_that_lasts_longer() {
    let folder = tempfile::tempdir().unwrap();
    let (mut counts, _) = Counts::open(folder.path()).unwrap();
    let bucket = |missing: u128, over_at: UnixMicros| CounterRecord {
        subject: Subject(Uuid::from_u128(1)),
        window: Window::Span { secs: 3_600 },
        counted: Counted::Bucket { missing: missing.into(), at: UnixMicros(1), full_at: over_at },
    };
    let after = |secs: u64| UnixMicros(now().0 + secs * 1_000_000);
    counts.append(vec![bucket(u128::MAX, after(60))]);
    let path = folder.path().join(FILE);
    let writable = std::mem::replace(&mut counts.file, File::open(&path).unwrap());
    // All was given back.
    counts.append(vec![bucket(0, UnixMicros(1)), over()]);
    assert_eq!(counts.unsaved.len(), 1);
    counts.file = writable;
    counts.append(Vec::new());
    assert_eq!(kept(folder.path()), []);
}

#[test]
fn a_batch_that_was_cut_short_takes_nothing_along() {
    let folder = tempfile::tempdir().unwrap();
    let (mut counts, _) = Counts::open(folder.path()).unwrap();
    counts.append(vec![record(1, 1)]);
    counts.append(vec![record(1, 2)]);
    let path = folder.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (mut counts, records) = Counts::open(folder.path()).unwrap();
        assert!(records == [record(1, 1)] || records.is_empty(), "{length}: {records:?}");
        counts.append(vec![record(2, 7)]);
        assert!(kept(folder.path()).contains(&record(2, 7)), "{length}");
    }
}

#[test]
fn no_damage_passes_for_an_end_that_is_missing() {
    let whole = [batch(&[record(1, 1)]).unwrap(), batch(&[record(1, 2)]).unwrap()].concat();
    assert!(!read(&whole).is_damaged);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            assert!(read(&bytes).is_damaged, "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn what_stands_before_the_damage_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (mut counts, _) = Counts::open(folder.path()).unwrap();
    counts.append(vec![record(1, 1)]);
    let first = fs::read(folder.path().join(FILE)).unwrap().len();
    counts.append(vec![record(1, 2)]);
    let path = folder.path().join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    bytes[first + 12] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(kept(folder.path()), [record(1, 1)]);
}
