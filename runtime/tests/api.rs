//! The public interface against its committed listing, `api.txt`: what is in there is what users rely on. A change that is
//! meant is written anew with `CLOTHSEG_BLESS=1`, and is said in the changelog.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::{Attribute, ImplItem, Item, Type, UseTree, Visibility};

/// Modules that are public as they are; of the others, what the root exports.
const MODULES: [&str; 4] = ["engine", "export", "masks", "spec"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Files of the library, without those of tests.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        match path.file_stem().unwrap().to_str().unwrap() {
            "tests" => {}
            _ if path.is_dir() => files(&path, found),
            _ => found.push(path),
        }
    }
}

/// The names in a `use`.
fn names(tree: &UseTree, found: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => names(&path.tree, found),
        UseTree::Group(group) => group.items.iter().for_each(|tree| names(tree, found)),
        UseTree::Name(name) => drop(found.insert(name.ident.to_string())),
        UseTree::Rename(rename) => drop(found.insert(rename.rename.to_string())),
        UseTree::Glob(_) => {}
    }
}

/// The names that a module makes public: those of its own file, of its private modules and of its public ones, and those from
/// elsewhere.
fn exported_by(module: &str) -> [BTreeSet<String>; 2] {
    let source = syn::parse_file(&std::fs::read_to_string(root().join(format!("{module}.rs"))).unwrap()).unwrap();
    let [mut own, mut from_elsewhere] = [BTreeSet::new(), BTreeSet::new()];
    for item in source.items {
        let (visibility, name) = match &item {
            Item::Use(item) if matches!(item.vis, Visibility::Public(_)) => {
                let is_elsewhere = item.tree.to_token_stream().to_string().starts_with("crate");
                names(&item.tree, if is_elsewhere { &mut from_elsewhere } else { &mut own });
                continue;
            }
            Item::Mod(item) => {
                let is_public = matches!(item.vis, Visibility::Public(_)) && !is_hidden(&item.attrs);
                if is_public && item.content.is_none() {
                    let [names, others] = exported_by(&format!("{module}/{}", item.ident));
                    own.extend(names);
                    from_elsewhere.extend(others);
                }
                continue;
            }
            Item::Struct(item) => (&item.vis, &item.ident),
            Item::Enum(item) => (&item.vis, &item.ident),
            Item::Trait(item) => (&item.vis, &item.ident),
            Item::Fn(item) => (&item.vis, &item.sig.ident),
            Item::Const(item) => (&item.vis, &item.ident),
            Item::Type(item) => (&item.vis, &item.ident),
            _ => continue,
        };
        if matches!(visibility, Visibility::Public(_)) {
            own.insert(name.to_string());
        }
    }
    [own, from_elsewhere]
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    let text = |attribute: &Attribute| attribute.meta.to_token_stream().to_string();
    attributes.iter().map(text).any(|text| text == "doc (hidden)" || text == "cfg (test)")
}

/// Attributes that are a part of the interface.
fn promises(attributes: &[Attribute]) -> String {
    let kept = ["derive", "non_exhaustive"];
    let kept = attributes.iter().filter(|attribute| kept.iter().any(|name| attribute.path().is_ident(name)));
    kept.map(|attribute| format!("#[{}] ", attribute.meta.to_token_stream())).collect()
}

/// One line per item; `exported` are the names that count.
fn list(file: &Path, exported: &dyn Fn(&str) -> bool, lines: &mut BTreeSet<String>) {
    let source = syn::parse_file(&std::fs::read_to_string(file).unwrap()).unwrap();
    let is_public = |visibility: &Visibility| matches!(visibility, Visibility::Public(_));
    let tokens = |item: &dyn ToTokens| item.to_token_stream().to_string();
    for item in source.items {
        match item {
            Item::Struct(item)
                if is_public(&item.vis) && !is_hidden(&item.attrs) && exported(&item.ident.to_string()) =>
            {
                let name = &item.ident;
                lines.insert(format!("{}struct {name}{}", promises(&item.attrs), tokens(&item.generics)));
                for field in item.fields.iter().filter(|field| is_public(&field.vis)) {
                    let field_name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
                    lines.insert(format!("{name}.{field_name}: {}", tokens(&field.ty)));
                }
            }
            Item::Enum(item) if is_public(&item.vis) && exported(&item.ident.to_string()) => {
                let name = &item.ident;
                lines.insert(format!("{}enum {name}", promises(&item.attrs)));
                for variant in &item.variants {
                    let fields: Vec<String> = variant.fields.iter().map(|field| tokens(&field.ty)).collect();
                    let named: Vec<String> =
                        variant.fields.iter().filter_map(|field| Some(field.ident.as_ref()?.to_string())).collect();
                    lines.insert(format!("{name}::{} ({}) {}", variant.ident, fields.join(", "), named.join(", ")));
                }
            }
            Item::Trait(item)
                if is_public(&item.vis) && !is_hidden(&item.attrs) && exported(&item.ident.to_string()) =>
            {
                let name = &item.ident;
                lines.insert(format!("trait {name}: {}", tokens(&item.supertraits)));
                for function in item.items.iter() {
                    if let syn::TraitItem::Fn(function) = function {
                        lines.insert(format!("{name}: {}", tokens(&function.sig)));
                    }
                }
            }
            Item::Fn(item)
                if is_public(&item.vis) && !is_hidden(&item.attrs) && exported(&item.sig.ident.to_string()) =>
            {
                lines.insert(tokens(&item.sig));
            }
            Item::Const(item) if is_public(&item.vis) && exported(&item.ident.to_string()) => {
                lines.insert(format!("const {}: {}", item.ident, tokens(&item.ty)));
            }
            Item::Type(item) if is_public(&item.vis) && exported(&item.ident.to_string()) => {
                lines.insert(format!("type {}{} = {}", item.ident, tokens(&item.generics), tokens(&item.ty)));
            }
            Item::Impl(item) if !is_hidden(&item.attrs) => {
                let Type::Path(owner) = &*item.self_ty else { continue };
                let owner = owner.path.segments.last().unwrap().ident.to_string();
                if !exported(&owner) {
                    continue;
                }
                if let Some((_, of, _)) = &item.trait_ {
                    lines.insert(format!("impl {} for {owner}", tokens(of)));
                    continue;
                }
                for part in &item.items {
                    match part {
                        ImplItem::Fn(part) if is_public(&part.vis) && !is_hidden(&part.attrs) => {
                            lines.insert(format!("{owner}: {}", tokens(&part.sig)));
                        }
                        ImplItem::Const(part) if is_public(&part.vis) => {
                            lines.insert(format!("{owner}: const {}: {}", part.ident, tokens(&part.ty)));
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

#[test]
fn the_public_interface_is_as_it_was_agreed_on() {
    let mut exports = BTreeSet::new();
    let source = syn::parse_file(&std::fs::read_to_string(root().join("lib.rs")).unwrap()).unwrap();
    for item in source.items {
        if let Item::Use(item) = item {
            names(&item.tree, &mut exports);
        }
    }
    let mut all = Vec::new();
    files(&root(), &mut all);
    let mut text = String::from("pub use: ");
    text.push_str(&exports.iter().cloned().collect::<Vec<_>>().join(", "));
    for module in std::iter::once("").chain(MODULES) {
        let mut lines = BTreeSet::new();
        let [own, elsewhere] = if module.is_empty() { Default::default() } else { exported_by(module) };
        let exported = |name: &str| match module {
            "" => exports.contains(name),
            _ => own.contains(name) && !exports.contains(name),
        };
        for file in &all {
            let below = file.strip_prefix(root()).unwrap().with_extension("");
            let first = below.iter().next().unwrap().to_str().unwrap();
            if module.is_empty() || first == module {
                list(file, &exported, &mut lines);
            } else {
                list(file, &|name| elsewhere.contains(name), &mut lines);
            }
        }
        text.push_str(&format!("\n\n[{}]\n", if module.is_empty() { "clothseg" } else { module }));
        text.push_str(&lines.into_iter().collect::<Vec<_>>().join("\n"));
    }
    text.push('\n');
    let listing = Path::new(env!("CARGO_MANIFEST_DIR")).join("api.txt");
    if std::env::var_os("CLOTHSEG_BLESS").is_some() {
        std::fs::write(&listing, &text).unwrap();
    }
    let agreed = std::fs::read_to_string(&listing).unwrap_or_default();
    let differing: Vec<&str> = text.lines().filter(|line| !agreed.lines().any(|known| known == *line)).collect();
    let gone: Vec<&str> = agreed.lines().filter(|line| !text.lines().any(|known| known == *line)).collect();
    assert!(text == agreed, "new: {differing:#?}\ngone: {gone:#?}\nCLOTHSEG_BLESS=1 writes {} anew", listing.display());
}
