use clothseg::spec::Fit;

use super::*;

const SHIPPED: &str = include_str!("../../configs/garments-tiny.toml");

fn open(text: &str) -> Result<Config> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Config::open(file.path())
}

#[test]
fn the_shipped_config_is_read_and_survives_a_copy() {
    let config = open(SHIPPED).unwrap();
    let copy: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
    assert_eq!(copy, config);
    assert_eq!(config.frame().grid(), (64, 96));
    assert_eq!(config.model_spec().unwrap().taxonomy.len(), config.target().unwrap().classes());
}

#[test]
fn an_exported_model_may_ask_for_larger_photos_than_training() {
    let export = |keys: &str| open(&format!("{SHIPPED}\n[export]\n{keys}"));
    let config = export("longest_side = 320").unwrap();
    assert_eq!(config.model_spec().unwrap().input.fit, Fit::LongestSide { size: 320, multiple: 32 });
    assert_eq!(config.input_spec().fit, Fit::LongestSide { size: 192, multiple: 32 });
    let spec = export("tta_long_side = 288").unwrap().model_spec().unwrap();
    assert_eq!(spec.input.tta_long_side, Some(288));
    assert!(export("tta_long_side = 192").unwrap_err().to_string().contains("export.tta_long_side"));
    let stretched = SHIPPED.replace("longest_side = 192", "stretch = [64, 64]").replace("multiple = 32", "");
    let config = open(&format!("{stretched}\n[export]\nstretch = [96, 64]")).unwrap();
    assert_eq!(config.model_spec().unwrap().input.fit, Fit::Stretch { width: 96, height: 64 });
    assert_eq!(config.input_spec().fit, Fit::Stretch { width: 64, height: 64 });
}

#[test]
fn keys_of_earlier_configs_are_read() {
    let earlier =
        SHIPPED.replace("multiple = 32", "multiple = 32\nexport_longest_side = 320\nlarger_side = 384").replace(
            "[loss]",
            "[output]\ncleanup = { border_percent = 60 }\nsettling = { speck_px = 60, likeness_percent = 25 }\n[loss]",
        );
    let now = "[export]\nlongest_side = 320\ntta_long_side = 384\ncleanup = { border_percent = 60 }\n\
               small_regions = { min_area_px = 60, merge_threshold_percent = 25 }";
    let now = format!("{SHIPPED}\n{now}");
    assert_eq!(open(&earlier).unwrap(), open(&now).unwrap());
    let twice = open(&format!("{earlier}\n[export]\ntta_long_side = 400")).unwrap_err().to_string();
    assert!(twice.contains("`input.larger_side` is the earlier name of `export.tta_long_side`"), "{twice}");
    let unknown = open(&earlier.replace("settling", "setling")).unwrap_err().to_string();
    assert!(unknown.contains("output"), "{unknown}");
}

#[test]
fn a_wrong_value_names_its_key() {
    for (from, to, key) in [
        ("width = 0.25", "width = 0.0", "model.width"),
        ("output_stride = 2", "output_stride = 3", "model.output_stride"),
        ("crop = [128, 192]", "crop = [100, 192]", "input.crop"),
        ("longest_side = 192", "longest_side = 0", "input.longest_side"),
        ("longest_side = 192", "longest_side = 192\nstretch = [64, 64]", "input.longest_side"),
        ("longest_side = 192", "stretch = [64, 64]", "input.stretch"),
        ("multiple = 32", "multiple = 24", "input.multiple"),
        ("[loss]", "[export]\nlongest_side = 0\n[loss]", "export.longest_side"),
        ("[loss]", "[export]\nstretch = [64, 64]\n[loss]", "export.stretch"),
        ("terms = \"ce:1,miou:1\"", "terms = \"kl:1\"", "loss.terms"),
        ("scale = [0.8, 1.6]", "scale = [1.6, 0.8]", "augment.scale"),
        ("flip = 0.5", "brightness = 1.5", "augment.brightness"),
        ("flip = 0.5", "close_up = [{ share = 0.5, classes = [\"cloak\"], scale = [1.0, 2.0] }]", "augment.close_up"),
        ("flip = 0.5", "close_up = [{ share = 1.5, classes = [\"hair\"], scale = [1.0, 2.0] }]", "augment.close_up"),
        ("flip = 0.5", "rotation_degrees = nan", "augment.rotation_degrees"),
        ("flip = 0.5", "erase_share = 0.01", "augment.erase_share"),
        ("dropout = 0.3", "pretrained = true", "model.pretrained"),
        ("dropout = 0.3", "presence = true", "loss.terms"),
        (
            "[loss]",
            "[export]\nsmall_regions = { min_area_px = 9, merge_threshold_percent = 101 }\n[loss]",
            "export.small_regions",
        ),
        ("shards = 2", "shards = 0", "train.shards"),
        ("terms = \"ce:1,miou:1\"", "over = \"batch\"", "loss.over"),
        ("taxonomy = \"garments\"", "taxonomy = \"cars\"", "taxonomy"),
        ("repeat = 0.75", "repeat = -1.0", "data.train"),
        ("repeat = 0.75", "images = \"photos\"", "data.train"),
    ] {
        assert!(SHIPPED.contains(from), "{from}");
        let error = open(&SHIPPED.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(&format!("`{key}`")), "{error}");
    }
}

#[test]
fn a_pretrained_encoder_gets_the_input_that_it_was_trained_on() {
    let text =
        SHIPPED.replace("unet-vgg16-light", "unet-lite0").replace("width = 0.25", "width = 1.0\npretrained = true");
    let config = open(&text).unwrap();
    assert_eq!(config.model_spec().unwrap().input.mean, [127.0 / 255.0; 3]);
    assert_eq!(config.frame().pad, [127; 3]);
}

#[test]
fn unknown_and_missing_keys_are_named() {
    let error = open(&SHIPPED.replace("dropout = 0.3", "drop_out = 0.3")).unwrap_err().to_string();
    assert!(error.contains("drop_out"), "{error}");
    let error = open(&SHIPPED.replace("epochs = 18", "")).unwrap_err().to_string();
    assert!(error.contains("epochs"), "{error}");
}
