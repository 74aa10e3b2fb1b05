use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use tollgate_core::feed::{BadFrame, Epoch, Frame, Position, push_frame};
use tollgate_core::resource::{DisplayName, Tenant, TenantId, TenantSlug, TimeZone};
use tollgate_core::snapshot::Change;
use uuid::Uuid;

use super::read::Damage;
use super::*;

fn raw(frame: &Frame) -> Bytes {
    let mut bytes = Vec::new();
    push_frame(&mut bytes, frame).unwrap();
    bytes.into()
}

fn tenant(number: u128) -> Bytes {
    let slug = TenantSlug::parse(&format!("t{number}")).unwrap();
    let name = DisplayName::parse("A tenant").unwrap();
    raw(&Frame::Changes(vec![Change::PutTenant(Tenant {
        id: TenantId(Uuid::from_u128(number)),
        slug,
        name,
        time_zone: TimeZone::UTC,
        limits: Vec::new(),
    })]))
}

fn commit(revision: u64) -> Bytes {
    raw(&Frame::Commit(position(revision)))
}

fn position(revision: u64) -> Position {
    Position { revision, epoch: Epoch(Uuid::from_u128(u128::from(revision))) }
}

/// A file with everything at revision 5, and two commits since.
async fn saved() -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let saver = Saver::start(folder.path(), None).unwrap();
    saver.begin().await;
    saver.add(raw(&Frame::Full)).await;
    saver.add(tenant(1)).await;
    saver.finish(commit(5)).await;
    for revision in 6..=7 {
        saver.append(vec![tenant(u128::from(revision)), commit(revision)]);
    }
    drop(saver);
    let bytes = fs::read(file(folder.path())).unwrap();
    (folder, bytes)
}

fn slugs(saved: &Saved) -> Vec<bool> {
    ["t1", "t6", "t7", "t8"].map(|slug| saved.snapshot.tenant(slug).is_some()).to_vec()
}

fn loaded(folder: &tempfile::TempDir) -> Saved {
    load(&file(folder.path())).unwrap().unwrap()
}

#[tokio::test]
async fn what_was_saved_is_there_at_the_next_start_and_goes_on() {
    let (folder, _) = saved().await;
    let first = loaded(&folder);
    assert_eq!((first.position, slugs(&first)), (position(7), vec![true, true, true, false]));
    let saver = Saver::start(folder.path(), Some(&first)).unwrap();
    saver.append(vec![tenant(8), commit(8)]);
    drop(saver);
    let second = loaded(&folder);
    assert_eq!((second.position, slugs(&second)), (position(8), vec![true; 4]));
    assert_eq!(Arc::strong_count(&second.snapshot), 1);
}

#[tokio::test]
async fn everything_anew_takes_the_place_of_what_was_there_when_it_is_whole() {
    let (folder, before) = saved().await;
    let saver = Saver::start(folder.path(), Some(&loaded(&folder))).unwrap();
    saver.begin().await;
    saver.add(raw(&Frame::Full)).await;
    saver.abandon();
    saver.append(vec![tenant(8), commit(8)]);
    drop(saver);
    assert_eq!(loaded(&folder).position, position(8));
    fs::write(file(folder.path()), before).unwrap();
    let saver = Saver::start(folder.path(), Some(&loaded(&folder))).unwrap();
    saver.begin().await;
    saver.add(raw(&Frame::Full)).await;
    saver.finish(commit(20)).await;
    assert!(!saver.wants_everything());
    drop(saver);
    let after = loaded(&folder);
    assert_eq!((after.position, slugs(&after)), (position(20), vec![false; 4]));
}

#[tokio::test]
async fn a_file_that_was_cut_short_is_as_good_as_its_last_commit() {
    let (folder, whole) = saved().await;
    let base = usize::try_from(loaded(&folder).base_bytes).unwrap();
    for length in 0..whole.len() {
        fs::write(file(folder.path()), &whole[..length]).unwrap();
        match load(&file(folder.path())) {
            Ok(Some(saved)) => {
                assert!(length >= base && saved.bytes <= length as u64, "{length}");
                assert_eq!(saved.snapshot.revision(), saved.position.revision);
            }
            Ok(None) => panic!("there is a file"),
            Err(damage) => assert!(length < base, "{length}: {damage}"),
        }
    }
}

#[tokio::test]
async fn what_a_process_that_was_killed_had_begun_goes_at_the_next_start() {
    let (folder, _) = saved().await;
    fs::write(folder.path().join("node.state.coming"), b"a part").unwrap();
    drop(Saver::start(folder.path(), Some(&loaded(&folder))).unwrap());
    assert_eq!(names(&folder), ["node.state"]);
}

#[tokio::test]
async fn what_does_not_come_to_an_end_goes() {
    let (folder, before) = saved().await;
    for ending in [Saver::abandon, |_: &Saver| {}] {
        let saver = Saver::start(folder.path(), Some(&loaded(&folder))).unwrap();
        saver.begin().await;
        saver.add(raw(&Frame::Full)).await;
        saver.begin().await;
        saver.add(raw(&Frame::Full)).await;
        ending(&saver);
        drop(saver);
        assert_eq!(names(&folder), ["node.state"]);
        assert_eq!(fs::read(file(folder.path())).unwrap(), before);
    }
}

/// For the folder that a process has to fill whose files may not grow beyond [`SMALL_DISK`].
const FOLDER: &str = "TOLLGATE_TEST_FOLDER";
/// In blocks of 512 bytes, or of 1024 where the shell counts so; more than what is saved has, and less than one commit of the test's.
const SMALL_DISK: &str = "64";
const FULL_DISK: &str = "saved::tests::on_a_full_disk_what_is_saved_stays_whole_and_nothing_lies_beside";

#[tokio::test]
async fn on_a_full_disk_what_is_saved_stays_whole_and_nothing_lies_beside() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return fill(Path::new(&folder)).await;
    }
    let (folder, before) = saved().await;
    // The same test again, as that process. Whoever is not told of it otherwise ends with SIGXFSZ.
    let limited = format!("trap '' XFSZ; ulimit -f {SMALL_DISK}; exec \"$0\" --exact {FULL_DISK}");
    let this = std::env::current_exe().unwrap();
    let mut filling = std::process::Command::new("sh");
    let filled = filling.args(["-c", &limited]).arg(this).env(FOLDER, folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&filled.stdout);
    assert!(filled.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(names(&folder), ["node.state"]);
    assert!(fs::read(file(folder.path())).unwrap() == before);
}

async fn fill(folder: &Path) {
    let large = || (100..2_000).map(tenant);
    let saved = load(&file(folder)).unwrap().unwrap();
    let saver = Saver::start(folder, Some(&saved)).unwrap();
    saver.append(large().chain([commit(8)]).collect());
    // Out of order as this is, it shows that nothing goes on behind what is missing.
    saver.append(vec![tenant(9), commit(9)]);
    drop(saver);
    assert_eq!(fs::metadata(file(folder)).unwrap().len(), saved.bytes);
    let saver = Saver::start(folder, Some(&saved)).unwrap();
    saver.begin().await;
    saver.add(raw(&Frame::Full)).await;
    for piece in large() {
        saver.add(piece).await;
    }
    saver.finish(commit(10)).await;
    while !saver.wants_everything() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

fn names(folder: &tempfile::TempDir) -> Vec<String> {
    let files = fs::read_dir(folder.path()).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn no_damage_passes_for_a_state() {
    let (folder, whole) = saved().await;
    let path = file(folder.path());
    for at in 0..whole.len() {
        for flip in (0..8).map(|bit| 1 << bit).chain([0xff]) {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(&path, &bytes).unwrap();
            let outcome = load(&path);
            assert!(outcome.is_err(), "byte {at}, {flip:#x}: it was taken for an end that is missing");
        }
    }
}

#[tokio::test]
async fn damage_is_noticed_in_a_file_that_was_cut_short_as_well() {
    let (folder, whole) = saved().await;
    let path = file(folder.path());
    let base = usize::try_from(loaded(&folder).base_bytes).unwrap();
    for at in 0..base {
        let mut bytes = whole[..whole.len() - 1].to_vec();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(load(&path).is_err(), "{at}");
    }
}

#[tokio::test]
async fn what_cannot_be_used_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    assert!(load(&path).unwrap().is_none());
    let damage = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        load(&path).err().unwrap()
    };
    assert!(matches!(damage(b"this is a letter, not a saved state"), Damage::Foreign));
    assert!(matches!(damage(b""), Damage::Foreign));
    let mut newer = preamble();
    newer[MAGIC.len()] += 1;
    assert!(damage(&newer).to_string().contains("another version"), "{}", damage(&newer));
    assert!(matches!(damage(&preamble()), Damage::CutShort));
    let zeros = [preamble(), vec![0; 64]].concat();
    assert!(matches!(damage(&zeros), Damage::Frame { problem: BadFrame::Header, .. }));
    assert!(load_or_explain(folder.path()).is_none());
}
