#![allow(clippy::unwrap_used)]

use super::*;

fn inline(toml: &str) -> std::result::Result<Target, String> {
    let table: toml::Table = toml::from_str(toml).unwrap();
    let config: TaxonomyConfig =
        table["taxonomy"].clone().try_into().map_err(|error: toml::de::Error| error.to_string())?;
    config.resolved(Path::new(""))?.target()
}

fn names(target: &Target) -> Vec<&str> {
    target.taxonomy.classes.iter().map(|class| class.name.as_str()).collect()
}

#[test]
fn a_list_of_names_gets_a_background_and_colours_that_differ() {
    let target = inline("taxonomy = ['sari', 'dupatta']").unwrap();
    assert_eq!((names(&target), target.name.as_str()), (vec!["background", "sari", "dupatta"], "own"));
    assert_eq!(target.taxonomy.classes[2].color, [0, 128, 0]);
    assert_eq!(target.taxonomy.index_of("null"), Some(0));
    assert_eq!(names(&inline("taxonomy = ['Background', 'sari']").unwrap()), ["Background", "sari"]);
}

#[test]
fn a_table_says_all_of_a_class() {
    let target = inline(
        "[taxonomy]\nname = 'india'\nclasses = ['bg', { name = 'sari', aliases = ['saree'], color = '#ff8000' },\
         { name = 'hair', colour = [1, 2, 3], kind = 'person' }]\n[taxonomy.groups]\nall = ['sari']\n",
    )
    .unwrap();
    assert_eq!((names(&target), target.name.as_str()), (vec!["bg", "sari", "hair"], "india"));
    let [_, sari, hair] = &target.taxonomy.classes[..] else { panic!() };
    assert_eq!((sari.color, hair.color), ([255, 128, 0], [1, 2, 3]));
    assert_eq!(
        (target.taxonomy.resolve("saree").unwrap(), target.taxonomy.resolve("all").unwrap()),
        (vec![1], vec![1])
    );
    assert_eq!(target.taxonomy.garments(), [1]);
}

#[test]
fn classes_that_no_taxonomy_can_have_are_refused() {
    let many = |count: usize| {
        let list = (0..count).map(|index| format!("'c{index}'")).collect::<Vec<_>>().join(",");
        inline(&format!("taxonomy = [{list}]"))
    };
    assert_eq!(many(254).unwrap().classes(), 255);
    for (refused, expected) in [
        (many(255).map(|_| ()), "256 classes"),
        (many(0).map(|_| ()), "1 class;"),
        (inline("taxonomy = ['sari', 'background']").map(|_| ()), "must be the first"),
        (inline("taxonomy = ['sari', 'Sari']").map(|_| ()), "both named"),
        (inline("taxonomy = [{ name = 'sari', color = 'red' }]").map(|_| ()), "#rrggbb"),
        (inline("taxonomy = [{ name = 'sari', size = 3 }]").map(|_| ()), "`size`"),
        (inline("taxonomy = [{ name = 'sari', color = [300, 0, 0] }]").map(|_| ()), "300"),
        (inline("taxonomy = [{ name = 'sari', kind = 'Person' }]").map(|_| ()), "`Person`"),
        (inline("taxonomy = 3").map(|_| ()), "name of a file"),
        (
            inline("taxonomy = [{ name = 'sari', aliases = ['toga'] }, 'Toga']").map(|_| ()),
            "name of a class and an alias",
        ),
        (inline("taxonomy = ['background', 'null']").map(|_| ()), "`null`"),
        (inline("taxonomy = ['sari', 'ignore']").map(|_| ()), "pixels that count nowhere"),
        (inline("taxonomy = { classes = ['a'], groups = { merge = ['a'] } }").map(|_| ()), "a group is called `merge`"),
        (inline("taxonomy = { classes = ['a', 'b'], groups = { A = ['b'] } }").map(|_| ()), "has the name of a class"),
        (
            inline("taxonomy = [{ name = 'a', aliases = ['c'] }, { name = 'b', aliases = ['C'] }]").map(|_| ()),
            "alias of two classes",
        ),
        (inline("taxonomy = { classes = ['a'], groups = { g = ['z'] } }").map(|_| ()), "'z'"),
        (inline("taxonomy = 'cars'").map(|_| ()), "garments and imaterialist"),
    ] {
        assert!(refused.as_ref().unwrap_err().contains(expected), "{refused:?} {expected}");
    }
}

#[test]
fn files_of_all_kinds_hold_classes() {
    let root = tempfile::tempdir().unwrap();
    let table = "Name;R;G;B\r\nbackground;0;0;0\r\nsari;255;0;0\r\n";
    for (name, text, color) in [
        ("a.toml", "classes = ['sari']", [128, 0, 0]),
        ("b.json", "{\"classes\": [{\"name\": \"sari\", \"color\": [255, 0, 0]}]}", [255, 0, 0]),
        ("c.json", "[\"background\", \"sari\"]", [128, 0, 0]),
        ("d.csv", table, [255, 0, 0]),
        ("e.txt", "\u{feff}sari\r\n\r\n", [128, 0, 0]),
        ("f.yaml", "names:\n  0: sari\n", [128, 0, 0]),
    ] {
        std::fs::write(root.path().join(name), text).unwrap();
        let resolved = TaxonomyConfig::from(name).resolved(root.path()).unwrap();
        let target = resolved.target().unwrap();
        assert_eq!(names(&target), ["background", "sari"], "{name}");
        assert_eq!((target.taxonomy.classes[1].color, target.name.as_str()), (color, &name[..1]), "{name}");
        assert_eq!(resolved.clone().resolved(Path::new("elsewhere")).unwrap(), resolved);
    }
    std::fs::write(root.path().join("g.toml"), "classes = 3").unwrap();
    assert!(TaxonomyConfig::from("g.toml").resolved(root.path()).unwrap_err().contains("g.toml"));
    std::fs::write(root.path().join("h.png"), "").unwrap();
    assert!(TaxonomyConfig::from("h.png").resolved(root.path()).unwrap_err().contains(".toml and .json"));
}

#[test]
fn data_of_other_classes_bring_them() {
    let root = tempfile::tempdir().unwrap();
    let table = |name: &str, text: &str| {
        let path = root.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let own = table("own.csv", "name,r,g,b\nbackground,0,0,0\nsari,255,0,0\n");
    let same = table("same.csv", "name,r,g,b\nbackground,0,0,0\nsari,255,0,0\n");
    let other = table("other.csv", "name,r,g,b\nbackground,0,0,0\nlehenga,255,0,0\n");
    let mixed = table("mixed.csv", "name,r,g,b\nbackground,0,0,0\nsari,255,0,0\npants,0,255,0\n");
    let plain = table("plain.csv", "name\nbackground\nsari\n");
    let garments = TaxonomyConfig::from("garments");
    let found = garments.clone().or_of_data(&[own.clone(), same, plain]).target().unwrap();
    assert_eq!((names(&found), found.taxonomy.classes[1].color), (vec!["background", "sari"], [255, 0, 0]));
    // One class that is known: a slip of the pen is more likely than another taxonomy. And two tables are no taxonomy.
    for tables in [vec![mixed], vec![own.clone(), other], vec![], vec![root.path().join("absent.csv")]] {
        assert_eq!(garments.clone().or_of_data(&tables), garments);
    }
    let list = TaxonomyConfig::List(vec![ClassConfig::Name("dhoti".to_owned())]);
    assert_eq!(list.clone().or_of_data(&[own]), list);
}
