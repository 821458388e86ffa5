//! The frame: the photo's size, and its components with the planes that they are decoded into.

use super::scale::{self, Transform};
use super::segments::Marker;

/// Side of a block.
pub(super) const BLOCK: u32 = 8;

/// How a frame is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Each block at once.
    Sequential,
    /// In several scans, from coarse to fine. Only the means of the blocks are decoded here.
    Progressive,
}

impl Kind {
    /// Nothing for what only the full decoder may know.
    pub(super) fn of(marker: Marker) -> Option<Self> {
        match marker {
            Marker(0xc0 | 0xc1) => Some(Self::Sequential),
            Marker(0xc2) => Some(Self::Progressive),
            _ => None,
        }
    }
}

/// One component: luma, a chroma, or a colour.
pub(super) struct Component {
    pub(super) id: u8,
    /// Blocks of this component in one unit of the interleaved stream, across and down.
    pub(super) sampling: [u32; 2],
    quantization_slot: u8,
    /// Of each coefficient, in zigzag order.
    pub(super) quantization: [u16; 64],
    /// Pixels that a block becomes, across and down: 1, 2, 4 or 8.
    pub(super) cell: [u32; 2],
    /// Blocks, across and down, that the photo covers.
    pub(super) blocks: [u32; 2],
    /// Blocks in a row of the plane: whole units.
    pub(super) blocks_in_row: u32,
    /// Rows of blocks in the plane: whole units.
    block_rows: u32,
    /// Blocks to pixels.
    pub(super) transform: Transform,
    /// Decoded pixels, `blocks_in_row * cell[0]` a row; none before the first scan.
    pub(super) plane: Vec<u8>,
    /// Progressive: the mean of each block so far, quantized.
    pub(super) means: Vec<i32>,
    /// Whether a scan has held it.
    pub(super) seen: bool,
}

impl Component {
    /// Width of the plane.
    pub(super) fn stride(&self) -> usize {
        (self.blocks_in_row * self.cell[0]) as usize
    }

    /// Blocks of the plane.
    fn area(&self) -> usize {
        self.blocks_in_row as usize * self.block_rows as usize
    }

    /// Bytes of the plane.
    fn plane_bytes(&self) -> usize {
        self.area() * (self.cell[0] * self.cell[1]) as usize
    }
}

/// A frame at a reduced size.
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// Pixels of the reduced picture, across and down.
    pub(super) reduced: [u32; 2],
    /// Units of the interleaved stream, across and down.
    pub(super) units: [u32; 2],
    /// Largest sampling of a component, across and down.
    pub(super) sampling: [u32; 2],
    /// Pixels that a block of the finest component becomes.
    pub(super) cell: u32,
    pub(super) components: Vec<Component>,
}

impl Frame {
    /// Reads the start of a frame that is to be decoded at 1 / `divisor` of its size; colour may be coarser, down to
    /// `enough` pixels across and down.
    pub(super) fn read(kind: Kind, body: &[u8], divisor: u32, enough: [u32; 2]) -> Option<Self> {
        let (&[bits, high, low, wide_high, wide_low, count], specs) = body.split_first_chunk()?;
        let size = [[wide_high, wide_low], [high, low]].map(|side| u32::from(u16::from_be_bytes(side)));
        let known = bits == 8 && matches!(count, 1 | 3) && specs.len() == usize::from(count) * 3;
        if !known || size.contains(&0) || (kind == Kind::Progressive && divisor != BLOCK) {
            return None;
        }
        let mut specs: Vec<(u8, [u32; 2], u8)> = specs
            .chunks_exact(3)
            .map(|spec| (spec[0], [u32::from(spec[1] >> 4), u32::from(spec[1] & 15)], spec[2]))
            .collect();
        if specs.iter().any(|(_, sampling, _)| sampling.iter().any(|blocks| !matches!(blocks, 1 | 2 | 4))) {
            return None;
        }
        if let [(_, sampling, _)] = specs.as_mut_slice() {
            // The blocks of a lone component come row by row whatever it says.
            *sampling = [1, 1];
        }
        let largest = [0, 1].map(|axis| specs.iter().map(|(_, sampling, _)| sampling[axis]).max().unwrap_or(1));
        let units = [0, 1].map(|axis: usize| size[axis].div_ceil(BLOCK * largest[axis]));
        let cell = BLOCK / divisor;
        let component = |(id, sampling, quantization_slot): (u8, [u32; 2], u8)| {
            let factor = [0, 1].map(|axis| largest[axis] / sampling[axis]);
            // Subsampled components keep more of their frequencies where the picture would be too coarse otherwise.
            let keeps = |axis: usize| {
                let sizes = [cell, cell * 2, cell * 4, cell * 8].into_iter().take_while(|own| *own <= BLOCK);
                let suffices =
                    |own: u32| own >= cell * factor[axis] || size[axis] * own >= enough[axis] * BLOCK * factor[axis];
                sizes.clone().find(|own| suffices(*own)).unwrap_or(BLOCK)
            };
            let own_cell = match kind {
                Kind::Sequential => [0, 1].map(keeps),
                Kind::Progressive => [1, 1],
            };
            let blocks = [0, 1].map(|axis: usize| size[axis].div_ceil(factor[axis]).div_ceil(BLOCK));
            let padded = [0, 1].map(|axis: usize| units[axis] * sampling[axis]);
            Some(Component {
                id,
                sampling,
                quantization_slot,
                quantization: [0; 64],
                cell: own_cell,
                blocks,
                blocks_in_row: padded[0],
                block_rows: padded[1],
                transform: scale::transform(own_cell)?,
                plane: Vec::new(),
                means: Vec::new(),
                seen: false,
            })
        };
        let components = specs.into_iter().map(component).collect::<Option<_>>()?;
        Some(Self {
            kind,
            reduced: size.map(|side| side.div_ceil(divisor)),
            units,
            sampling: largest,
            cell,
            components,
        })
    }

    /// Bytes that the planes take.
    pub(super) fn held_bytes(&self) -> u64 {
        let means = |component: &Component| if self.kind == Kind::Progressive { 4 * component.area() } else { 0 };
        self.components.iter().map(|component| (component.plane_bytes() + means(component)) as u64).sum()
    }

    /// Makes room for the pixels.
    pub(super) fn make_planes(&mut self) {
        for component in &mut self.components {
            component.plane = vec![0; component.plane_bytes()];
            component.means = if self.kind == Kind::Progressive { vec![0; component.area()] } else { Vec::new() };
        }
    }

    /// How many pixels of the picture one of a component's plane stands for, across and down.
    pub(super) fn factor(&self, component: &Component) -> [usize; 2] {
        [0, 1].map(|axis: usize| {
            (self.cell * self.sampling[axis] / component.sampling[axis] / component.cell[axis]).max(1) as usize
        })
    }

    /// Gives each component its table; all must be there.
    pub(super) fn set_quantization(&mut self, tables: &[Option<[u16; 64]>; 4]) -> Option<()> {
        for component in &mut self.components {
            component.quantization = (*tables.get(usize::from(component.quantization_slot))?)?;
        }
        Some(())
    }
}

/// Reads quantization tables, which stand in zigzag order.
pub(super) fn read_quantization(mut body: &[u8], tables: &mut [Option<[u16; 64]>; 4]) -> Option<()> {
    while let Some((precision_and_slot, rest)) = body.split_first() {
        let table = tables.get_mut(usize::from(precision_and_slot & 15))?;
        let mut values = [0; 64];
        body = match precision_and_slot >> 4 {
            0 => {
                let (bytes, rest) = rest.split_at_checked(64)?;
                values.iter_mut().zip(bytes).for_each(|(value, byte)| *value = u16::from(*byte));
                rest
            }
            1 => {
                let (bytes, rest) = rest.split_at_checked(128)?;
                let pairs = bytes.chunks_exact(2);
                values.iter_mut().zip(pairs).for_each(|(value, pair)| *value = u16::from_be_bytes([pair[0], pair[1]]));
                rest
            }
            _ => return None,
        };
        *table = Some(values);
    }
    Some(())
}
