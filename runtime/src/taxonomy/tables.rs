//! The class tables. Index = row.

use super::{Class, ClassKind, Taxonomy};

type Row = (&'static str, &'static [&'static str], [u8; 3]);
type Group = (&'static str, &'static [&'static str]);

/// iMaterialist (Fashion) 2019: names and colours of the study's class_dict.csv.
pub(super) fn imaterialist() -> Taxonomy {
    let mut taxonomy = build(IMATERIALIST, IMATERIALIST_GROUPS);
    add_everything(&mut taxonomy);
    taxonomy
}

/// The product's whole garments.
///
/// A class stands here when people cut it out of photos and the data hold it as a whole: in CCP train (754 photos)
/// each of them is in at least 16 photos. Watches, jewellery and gloves are left out: they are in few photos and cover
/// less than 0.02 % of the pixels. Parts (sleeve, collar, pocket ...) belong to their garment. What CCP names vaguely
/// ('suit' is jacket and trousers at once, 'accessories', 'jumper', 'intimate') is no class: it is ignored in training.
///
/// Hair and skin come last. The data sets of street photos and portraits label them, and a network that knows them takes
/// them for hats and dresses less often.
pub(super) fn garments() -> Taxonomy {
    let mut taxonomy = build(GARMENTS, GARMENTS_GROUPS);
    let persons = build(PERSONS, &[("person", &["hair", "skin"])]);
    taxonomy.classes.extend(persons.classes.into_iter().map(|class| class.with_kind(ClassKind::Person)));
    taxonomy.groups.extend(persons.groups);
    add_everything(&mut taxonomy);
    taxonomy
}

fn build(rows: &[Row], groups: &[Group]) -> Taxonomy {
    let class = |(name, aliases, color): &Row| Class::new(*name, *color).with_aliases(aliases.iter().copied());
    let group = |(name, members): &Group| ((*name).to_owned(), members.iter().map(|m| (*m).to_owned()).collect());
    Taxonomy { classes: rows.iter().map(class).collect(), groups: groups.iter().map(group).collect() }
}

/// Adds `garment`: all garments, of iMaterialist the foreground of the study's '2 classes'.
fn add_everything(taxonomy: &mut Taxonomy) {
    let names = taxonomy.garments().into_iter().map(|class| taxonomy.classes[class].name.clone()).collect();
    taxonomy.groups.insert("garment".into(), names);
}

#[rustfmt::skip]
const IMATERIALIST: &[Row] = &[
    ("background", &[], [0, 0, 0]),
    ("shirt, blouse", &["shirt", "blouse"], [128, 0, 0]),
    ("top, t-shirt, sweatshirt", &["top", "t-shirt", "tee", "sweatshirt", "hoodie"], [0, 128, 0]),
    ("sweater", &["jumper", "pullover"], [128, 128, 0]),
    ("cardigan", &[], [0, 0, 128]),
    ("jacket", &["blazer"], [128, 0, 128]),
    ("vest", &["waistcoat", "gilet"], [0, 128, 128]),
    ("pants", &["trousers", "jeans", "leggings"], [128, 128, 128]),
    ("shorts", &[], [64, 0, 0]),
    ("skirt", &[], [192, 0, 0]),
    ("coat", &["overcoat"], [64, 128, 0]),
    ("dress", &["gown"], [192, 128, 0]),
    ("jumpsuit", &["romper", "playsuit", "overalls"], [64, 0, 128]),
    ("cape", &[], [192, 0, 128]),
    ("glasses", &["sunglasses", "eyeglasses"], [64, 128, 128]),
    ("hat", &["cap", "beanie"], [192, 128, 128]),
    ("headband, head covering, hair accessory", &["headband", "head covering", "hair accessory"], [0, 64, 0]),
    ("tie", &["necktie"], [128, 64, 0]),
    ("glove", &[], [0, 192, 0]),
    ("watch", &[], [128, 192, 0]),
    ("belt", &[], [0, 64, 128]),
    ("leg warmer", &[], [128, 64, 128]),
    ("tights, stockings", &["tights", "stockings"], [0, 192, 128]),
    ("sock", &[], [128, 192, 128]),
    ("shoe", &["boots", "sneakers", "sandals", "heels", "footwear"], [64, 64, 0]),
    ("bag, wallet", &["bag", "wallet", "purse", "handbag"], [192, 64, 0]),
    ("scarf", &["shawl"], [64, 192, 0]),
    ("umbrella", &[], [192, 192, 0]),
    ("hood", &[], [64, 64, 128]),
    ("collar", &[], [192, 64, 128]),
    ("lapel", &[], [64, 192, 128]),
    ("epaulette", &[], [192, 192, 128]),
    ("sleeve", &[], [0, 0, 64]),
    ("pocket", &[], [128, 0, 64]),
    ("neckline", &[], [0, 128, 64]),
    ("buckle", &[], [128, 128, 64]),
    ("zipper", &[], [0, 0, 192]),
    ("applique", &[], [128, 0, 192]),
    ("bead", &[], [0, 128, 192]),
    ("bow", &[], [128, 128, 192]),
    ("flower", &[], [64, 0, 64]),
    ("fringe", &[], [192, 0, 64]),
    ("ribbon", &[], [64, 128, 64]),
    ("rivet", &[], [192, 128, 64]),
    ("ruffle", &[], [64, 0, 192]),
    ("sequin", &[], [192, 0, 192]),
    ("tassel", &[], [64, 128, 192]),
];

#[rustfmt::skip]
const IMATERIALIST_GROUPS: &[Group] = &[
    // The study's 'testing 2' (evaluated_classes.txt): the 16 classes that most images hold, and background.
    ("study-17", &[
        "background", "shirt, blouse", "top, t-shirt, sweatshirt", "sweater", "jacket", "pants", "shorts", "skirt",
        "dress", "glasses", "tie", "tights, stockings", "shoe", "collar", "lapel", "sleeve", "neckline",
    ]),
    ("upper", &["shirt, blouse", "top, t-shirt, sweatshirt", "sweater", "cardigan", "jacket", "vest", "coat", "cape"]),
    ("lower", &["pants", "shorts", "skirt", "tights, stockings"]),
    ("full-body", &["dress", "jumpsuit"]),
    ("accessories", &[
        "glasses", "hat", "headband, head covering, hair accessory", "tie", "glove", "watch", "belt", "leg warmer",
        "sock", "bag, wallet", "scarf", "umbrella",
    ]),
    ("parts", &[
        "hood", "collar", "lapel", "epaulette", "sleeve", "pocket", "neckline", "buckle", "zipper", "applique", "bead",
        "bow", "flower", "fringe", "ribbon", "rivet", "ruffle", "sequin", "tassel",
    ]),
];

// Colours are brighter than iMaterialist's, half of which are dark on dark clothes in an overlay.
#[rustfmt::skip]
const GARMENTS: &[Row] = &[
    ("background", &[], [0, 0, 0]),
    ("shirt", &["blouse"], [230, 60, 60]),
    ("top", &["t-shirt", "tee", "tank top", "bodysuit"], [60, 180, 75]),
    ("sweater", &["jumper", "pullover", "cardigan", "sweatshirt", "hoodie"], [200, 190, 40]),
    ("jacket", &["blazer"], [150, 70, 200]),
    ("coat", &["overcoat", "cape", "trench coat"], [120, 160, 30]),
    ("vest", &["waistcoat", "gilet"], [0, 150, 150]),
    ("dress", &["gown"], [245, 150, 40]),
    ("jumpsuit", &["romper", "playsuit", "overalls"], [110, 60, 160]),
    ("skirt", &[], [215, 50, 130]),
    ("pants", &["trousers", "jeans", "leggings", "slacks"], [60, 110, 220]),
    ("shorts", &[], [110, 200, 240]),
    ("tights", &["stockings", "pantyhose"], [90, 220, 170]),
    ("sock", &[], [170, 240, 170]),
    ("shoe", &["boots", "sneakers", "sandals", "heels", "loafers", "pumps", "flats", "footwear"], [150, 100, 50]),
    ("bag", &["wallet", "purse", "handbag", "backpack"], [240, 110, 80]),
    ("hat", &["cap", "beanie"], [230, 160, 190]),
    ("glasses", &["sunglasses", "eyeglasses"], [70, 200, 200]),
    ("scarf", &["shawl"], [160, 220, 60]),
    ("belt", &[], [40, 90, 140]),
    ("tie", &["necktie", "bow tie"], [190, 90, 30]),
];

// Of kind `person`, behind the garments.
#[rustfmt::skip]
const PERSONS: &[Row] = &[
    ("hair", &["beard"], [95, 60, 35]),
    ("skin", &["face", "neck", "arm", "leg", "body"], [255, 205, 175]),
];

#[rustfmt::skip]
const GARMENTS_GROUPS: &[Group] = &[
    ("upper", &["shirt", "top", "sweater", "jacket", "coat", "vest"]),
    ("lower", &["skirt", "pants", "shorts", "tights"]),
    ("full-body", &["dress", "jumpsuit"]),
    ("accessories", &["sock", "bag", "hat", "glasses", "scarf", "belt", "tie"]),
];
