//! Reduced decoding against the full decoder, and against streams written here.

use std::time::Duration;

use image::ImageFormat;

use super::*;
use crate::decode::counting;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

fn decode(bytes: &[u8], divisor: u32, enough: [u32; 2]) -> Option<RgbImage> {
    decode_reduced(bytes, divisor, enough, &Deadline::after(Duration::from_secs(60)))
}

/// Colour as fine as light.
const FINE: [u32; 2] = [u32::MAX / 64; 2];

/// Mean difference to the means of the full picture's squares, in levels; squares that lie wholly in it.
fn difference(reduced: &RgbImage, full: &RgbImage, divisor: u32) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for (x, y, pixel) in reduced.enumerate_pixels() {
        if (x + 1) * divisor > full.width() || (y + 1) * divisor > full.height() {
            continue;
        }
        for channel in 0..3 {
            let square =
                (0..divisor * divisor).map(|at| full.get_pixel(x * divisor + at % divisor, y * divisor + at / divisor));
            let mean = square.map(|pixel| f64::from(pixel.0[channel])).sum::<f64>() / f64::from(divisor * divisor);
            sum += (mean - f64::from(pixel.0[channel])).abs();
            count += 1;
        }
    }
    sum / f64::from(count)
}

#[test]
fn every_kind_and_size_is_near_the_means_of_the_full_picture() {
    for name in
        ["444.jpg", "422.jpg", "420.jpg", "grey.jpg", "rgb.jpg", "restart.jpg", "progressive.jpg", "progressive444.jpg"]
    {
        let bytes = fixture(name);
        let full = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).unwrap().into_rgb8();
        let divisors: &[u32] = if name.starts_with("progressive") { &[8] } else { &[8, 4, 2] };
        for &divisor in divisors {
            for enough in [FINE, [1, 1]] {
                let reduced = decode(&bytes, divisor, enough).unwrap();
                assert_eq!(reduced.dimensions(), (147_u32.div_ceil(divisor), 93_u32.div_ceil(divisor)), "{name}");
                let levels = difference(&reduced, &full, divisor);
                assert!(levels < 4.0, "{name} 1/{divisor}: {levels:.2} levels");
            }
        }
    }
}

#[test]
fn what_is_not_handled_here_is_left_to_the_full_decoder() {
    assert!(decode(&fixture("cmyk.jpg"), 8, FINE).is_none());
    assert!(decode(&fixture("progressive.jpg"), 4, FINE).is_none());
    let mut arithmetic = fixture("420.jpg");
    let frame = arithmetic.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    arithmetic[frame + 1] = 0xc9;
    assert!(decode(&arithmetic, 8, FINE).is_none());
    let passed = Deadline::after(Duration::ZERO);
    assert!(decode_reduced(&fixture("420.jpg"), 8, FINE, &passed).is_none());
}

#[test]
fn nothing_comes_of_any_part_of_a_file() {
    for name in ["420.jpg", "progressive.jpg", "restart.jpg"] {
        let bytes = fixture(name);
        for length in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
            assert!(decode(&bytes[..length], 8, FINE).is_none(), "{name}: {length} bytes");
        }
    }
}

#[test]
fn a_wrong_restart_marker_is_an_irregularity() {
    let mut bytes = fixture("restart.jpg");
    let marker = bytes.windows(2).rposition(|pair| matches!(pair, [0xff, 0xd0..=0xd7])).unwrap();
    bytes[marker + 1] ^= 1;
    assert!(decode(&bytes, 8, FINE).is_none());
}

#[test]
fn the_ending_is_found_behind_all_scans() {
    assert_eq!(ending(&fixture("420.jpg")), Ending::Whole { scans: 1 });
    assert_eq!(ending(&fixture("progressive.jpg")), Ending::Whole { scans: 10 });
    let bytes = fixture("progressive.jpg");
    assert_eq!(ending(&bytes[..bytes.len() - 2]), Ending::CutOff);
    assert_eq!(ending(b"\xff\xd8 text"), Ending::NoScan);
}

/// A JPEG whose blocks each have one value: `value(component, x, y)` of block x, y.
struct Plain<'a> {
    size: [u16; 2],
    sampling: &'a [[u8; 2]],
    interleaved: bool,
    restart_interval: u16,
    value: fn(usize, u32, u32) -> u8,
}

impl Plain<'_> {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8];
        let segment = |bytes: &mut Vec<u8>, marker: u8, body: &[u8]| {
            bytes.extend([0xff, marker]);
            bytes.extend((body.len() as u16 + 2).to_be_bytes());
            bytes.extend(body);
        };
        segment(&mut bytes, 0xdb, &[&[0][..], &[1; 64]].concat());
        // Means: sizes 0 to 11 in four bits each. Others: nothing but the end of the block, in one bit.
        let counts =
            |length: usize, count: u8| std::array::from_fn::<u8, 16, _>(|at| if at + 1 == length { count } else { 0 });
        let sizes: Vec<u8> = (0..12).collect();
        segment(&mut bytes, 0xc4, &[&[0x00][..], &counts(4, 12), &sizes, &[0x10], &counts(1, 1), &[0]].concat());
        segment(&mut bytes, 0xdd, &self.restart_interval.to_be_bytes());
        let [[wide_high, wide_low], [high, low]] = self.size.map(u16::to_be_bytes);
        let mut frame = vec![8, high, low, wide_high, wide_low, self.sampling.len() as u8];
        for (id, [across, down]) in (1..).zip(self.sampling) {
            frame.extend([id, across << 4 | down, 0]);
        }
        segment(&mut bytes, 0xc1, &frame);
        let all: Vec<usize> = (0..self.sampling.len()).collect();
        let scans: Vec<&[usize]> = if self.interleaved { vec![&all] } else { all.chunks(1).collect() };
        for components in scans {
            let ids = components.iter().flat_map(|component| [*component as u8 + 1, 0]);
            let head: Vec<u8> = [components.len() as u8].into_iter().chain(ids).chain([0, 63, 0]).collect();
            segment(&mut bytes, 0xda, &head);
            bytes.extend(self.scan(components));
        }
        bytes.extend([0xff, 0xd9]);
        bytes
    }

    fn scan(&self, components: &[usize]) -> Vec<u8> {
        let size = self.size.map(u32::from);
        let largest = [0, 1].map(|axis| self.sampling.iter().map(|own| u32::from(own[axis])).max().unwrap());
        let units = [0, 1].map(|axis: usize| match components {
            [lone] => {
                let factor = largest[axis] / u32::from(self.sampling[*lone][axis]);
                size[axis].div_ceil(factor).div_ceil(8)
            }
            _ => size[axis].div_ceil(8 * largest[axis]),
        });
        let (mut bytes, mut bits, mut before) = (Vec::new(), String::new(), [0_i32; 3]);
        let finish = |bits: &mut String, bytes: &mut Vec<u8>| {
            while !bits.len().is_multiple_of(8) {
                bits.push('1');
            }
            for byte in bits.as_bytes().chunks(8) {
                let byte = u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap();
                bytes.push(byte);
                if byte == 0xff {
                    bytes.push(0);
                }
            }
            bits.clear();
        };
        for unit in 0..units[0] * units[1] {
            let interval = u32::from(self.restart_interval);
            if interval > 0 && unit > 0 && unit % interval == 0 {
                finish(&mut bits, &mut bytes);
                bytes.extend([0xff, 0xd0 + ((unit / interval - 1) % 8) as u8]);
                before = [0; 3];
            }
            for &component in components {
                let [across, down] =
                    if components.len() == 1 { [1, 1] } else { self.sampling[component].map(u32::from) };
                for at in 0..across * down {
                    let (x, y) = (unit % units[0] * across + at % across, unit / units[0] * down + at / across);
                    let mean = (i32::from((self.value)(component, x, y)) - 128) * 8;
                    let step = mean - std::mem::replace(&mut before[component], mean);
                    let length = 32 - step.unsigned_abs().leading_zeros();
                    let raw = if step < 0 { step + (1 << length) - 1 } else { step };
                    bits += &format!("{length:04b}");
                    if length > 0 {
                        bits += &format!("{raw:0width$b}", width = length as usize);
                    }
                    bits.push('0');
                }
            }
        }
        finish(&mut bits, &mut bytes);
        bytes
    }
}

#[test]
fn blocks_go_where_they_belong_at_every_sampling_order_and_interval() {
    let value = |component, x: u32, y: u32| if component == 0 { (x * 37 + y * 91) as u8 } else { 128 };
    let samplings: [&[[u8; 2]]; 7] = [
        &[[1, 1]],
        &[[2, 2]],
        &[[1, 1]; 3],
        &[[2, 2], [1, 1], [1, 1]],
        &[[1, 2], [1, 1], [1, 1]],
        &[[4, 1], [1, 1], [1, 1]],
        &[[4, 2], [2, 1], [1, 2]],
    ];
    for sampling in samplings {
        for (interleaved, restart_interval) in [(true, 0), (true, 5), (false, 0), (false, 1)] {
            let bytes = Plain { size: [131, 77], sampling, interleaved, restart_interval, value }.encode();
            let context = format!("{sampling:?} {interleaved} {restart_interval}");
            for divisor in [8, 4, 2] {
                let reduced = decode(&bytes, divisor, FINE).unwrap_or_else(|| panic!("{context} 1/{divisor}"));
                for (x, y, pixel) in reduced.enumerate_pixels() {
                    let expected = value(0, x * divisor / 8, y * divisor / 8);
                    assert_eq!(pixel.0, [expected; 3], "{context} 1/{divisor}: {x}, {y}");
                }
            }
        }
    }
}

#[test]
fn what_is_held_is_told_by_the_header() {
    let value = |component, x: u32, y: u32| if component == 0 { (x * 37 + y * 91) as u8 } else { 128 };
    let samplings: [&[[u8; 2]]; 5] =
        [&[[1, 1]], &[[1, 1]; 3], &[[2, 2], [1, 1], [1, 1]], &[[4, 1], [1, 1], [1, 1]], &[[4, 2], [2, 1], [1, 2]]];
    for sampling in samplings {
        let bytes = Plain { size: [1310, 770], sampling, interleaved: true, restart_interval: 0, value }.encode();
        for (divisor, enough) in [8, 4, 2].into_iter().flat_map(|divisor| [(divisor, FINE), (divisor, [1, 1])]) {
            let (picture, held) = counting::most_held(|| decode(&bytes, divisor, enough));
            let told = held_bytes(&bytes, divisor, enough).unwrap();
            let context = format!("{sampling:?} 1/{divisor} {enough:?}: {held} bytes held, {told} told");
            assert!(picture.is_some() && held <= told && told <= held + TABLES_BYTES + 8000, "{context}");
        }
    }
    assert_eq!(held_bytes(&fixture("progressive.jpg"), 4, FINE), None);
    assert_eq!(held_bytes(&fixture("cmyk.jpg"), 8, FINE), None);
}

#[test]
fn coarse_colour_lies_in_the_middle_of_its_squares() {
    // Colour rises along both axes; light is the same everywhere.
    let value = |component, x: u32, y: u32| if component == 0 { 128 } else { (64 + 8 * x + 8 * y) as u8 };
    let bytes =
        Plain { size: [128, 128], sampling: &[[2, 2], [1, 1], [1, 1]], interleaved: true, restart_interval: 0, value };
    let reduced = decode(&bytes.encode(), 8, [1, 1]).unwrap();
    assert_eq!(reduced.dimensions(), (16, 16));
    // Pixel x is at (x + 0.5) / 2 - 0.5 blocks of colour.
    for x in 1..15 {
        let cr = 64.0 + 8.0 * ((f64::from(x) + 0.5) / 2.0 - 0.5) * 2.0;
        let red = 128.0 + 1.402 * (cr - 128.0);
        assert!((f64::from(reduced.get_pixel(x, x).0[0]) - red).abs() < 1.6, "{x}");
    }
}

#[test]
fn more_scans_than_allowed_are_left() {
    let value = |_, _, _| 100;
    let plain = Plain { size: [16, 16], sampling: &[[1, 1]; 3], interleaved: false, restart_interval: 0, value };
    let bytes = plain.encode();
    assert!(decode(&bytes, 8, FINE).is_some());
    // The same component twice.
    let scan = bytes.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
    let twice = [&bytes[..bytes.len() - 2], &bytes[scan..]].concat();
    assert!(decode(&twice, 8, FINE).is_none());
    let many = [&bytes[..bytes.len() - 2], &bytes[scan..bytes.len() - 2].repeat(MAX_SCANS), &[0xff, 0xd9]].concat();
    assert_eq!(ending(&many), Ending::Whole { scans: MAX_SCANS + 3 });
}
