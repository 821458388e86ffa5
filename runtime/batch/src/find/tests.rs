use super::super::inputs::Source;
use super::*;

fn stems_of(inputs: &Inputs) -> Vec<String> {
    inputs.iter().map(|photo| photo.stem.to_string_lossy().replace('\\', "/")).collect()
}

fn stems(arguments: &[PathBuf], output: &Path) -> Vec<String> {
    stems_of(&find_inputs(arguments, output, 1000, &mut &b"photo"[..]).unwrap())
}

fn listed(list: &[u8], separator: u8) -> Vec<String> {
    let mut finder = InputFinder::new(&[]);
    finder.add_list(&mut &list[..], separator).unwrap();
    finder.finish(None).iter().map(|photo| photo.name).collect()
}

fn tree(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }
    folder
}

#[test]
fn a_folder_is_mirrored_and_what_is_no_photo_or_hidden_is_left_out() {
    let folder = tree(&["b.JPG", "a/c.png", "a/notes.txt", ".git/x.jpg", "a/.y.jpg", "a/d.e.webp"]);
    assert_eq!(stems(&[folder.path().into()], Path::new("absent")), ["a/c", "a/d.e", "b"]);
    let inputs = find_inputs(&[folder.path().into()], Path::new("absent"), 9, &mut &b""[..]).unwrap();
    assert_eq!(inputs.skipped, 1);
    assert_eq!(inputs.get(0).unwrap().source, Source::File(folder.path().join("a/c.png")));
    assert_eq!(inputs.get(3), None);
}

#[test]
fn two_photos_never_share_a_stem() {
    let folder = tree(&["b.jpg", "b.png", "B.webp", "x/b.jpg", "y/c.jpg", "z/c.jpg"]);
    let at = |name: &str| folder.path().join(name);
    assert_eq!(stems(&[folder.path().into()], Path::new("o")), ["B.webp", "b.jpg", "b.png", "x/b", "y/c", "z/c"]);
    assert_eq!(stems(&[at("y/c.jpg"), at("z/c.jpg")], Path::new("o")), ["c.jpg", "c.jpg-2"]);
    assert_eq!(stems(&["-".into(), "-".into()], Path::new("o")), ["stdin", "stdin-2"]);
}

#[test]
fn one_file_named_twice_is_done_once() {
    let folder = tree(&["a.jpg"]);
    let twice = [folder.path().join("a.jpg"), folder.path().into(), folder.path().join("./a.jpg")];
    assert_eq!(stems(&twice, Path::new("o")).len(), 1);
}

#[test]
#[cfg(unix)]
fn a_link_to_a_photo_is_that_photo_and_a_loop_ends() {
    let folder = tree(&["a.jpg", "in/b.jpg"]);
    std::os::unix::fs::symlink(folder.path().join("a.jpg"), folder.path().join("z.jpg")).unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("in/up")).unwrap();
    assert_eq!(stems(&[folder.path().into()], Path::new("o")), ["a", "in/b"]);
    // It is done under its own name, whichever comes first.
    std::fs::create_dir(folder.path().join("best")).unwrap();
    std::os::unix::fs::symlink("../in/b.jpg", folder.path().join("best/b.jpg")).unwrap();
    assert_eq!(stems(&[folder.path().into()], Path::new("o")), ["a", "in/b"]);
}

#[test]
fn results_of_an_earlier_run_inside_the_folder_are_no_photos() {
    let folder = tree(&["a.jpg", "out/a.overlay.png"]);
    assert_eq!(stems(&[folder.path().into()], &folder.path().join("out")), ["a"]);
}

#[test]
fn the_folder_of_the_photos_is_no_output_folder() {
    let folder = tree(&["a.jpg"]);
    let error = find_inputs(&[folder.path().into()], folder.path(), 9, &mut &b""[..]).unwrap_err();
    assert!(error.to_string().contains("a folder of their own"), "{error}");
}

#[test]
fn standard_input_over_the_limit_is_named_and_the_rest_goes_on() {
    let inputs = find_inputs(&["-".into(), "a.jpg".into()], Path::new("o"), 3, &mut &b"photo"[..]).unwrap();
    assert_eq!((inputs.len(), inputs.unreadable.len()), (1, 1));
}

#[test]
fn a_path_never_leaves_the_output_folder() {
    assert_eq!(relative(Path::new("./a/b.jpg")), Path::new("a/b.jpg"));
    for outside in ["../a/b.jpg", "/a/b.jpg", "a/../../b.jpg"] {
        assert_eq!(relative(Path::new(outside)), Path::new("b.jpg"), "{outside}");
    }
    let inputs = find_inputs(&["absent/..".into()], Path::new("o"), 9, &mut &b""[..]).unwrap();
    assert_eq!((inputs.len(), inputs.unreadable.len()), (0, 1));
}

#[test]
fn a_file_that_is_not_there_is_kept_so_that_it_can_be_reported() {
    assert_eq!(stems(&["absent.jpg".into()], Path::new("o")), ["absent"]);
}

#[test]
fn lists_hold_any_name() {
    assert_eq!(listed(b"a b.jpg\r\n\n- c.jpg\nlast", b'\n'), ["a b.jpg", "- c.jpg", "last"]);
    assert_eq!(listed(b"two\nlines.jpg\0b.jpg\0", 0), ["two\nlines.jpg", "b.jpg"]);
    assert_eq!(listed(b"", b'\n').len(), 0);
}

#[test]
fn shards_share_the_photos_out_without_changing_their_stems() {
    let folder = tree(&["a/b.jpg", "a/b.png", "c.jpg", "d/e.jpg", "d/f.jpg", "g.jpg"]);
    let mut shared: Vec<String> = Vec::new();
    for index in 1..=3 {
        let mut finder = InputFinder::new(&[]);
        finder.add(folder.path()).unwrap();
        shared.extend(stems_of(&finder.finish(Some(Shard::new(index, 3).unwrap()))));
    }
    shared.sort();
    assert_eq!(shared, stems(&[folder.path().into()], Path::new("o")));
}
