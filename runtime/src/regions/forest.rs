//! Regions that become parts of others.

/// The region around the photo.
pub(crate) const OUTSIDE: u32 = 0;

/// What an item is a part of now, in a union-find forest by parents: the item that is its own parent. The way there is halved for the next
/// time.
pub(crate) fn root(parents: &mut [u32], mut item: u32) -> u32 {
    while parents[item as usize] != item {
        let grandparent = parents[parents[item as usize] as usize];
        parents[item as usize] = grandparent;
        item = grandparent;
    }
    item
}

/// Pieces of one class, pixels joined by their edges: a union-find forest. Region 0 is [`OUTSIDE`].
#[derive(Default)]
pub(crate) struct Forest {
    /// Valid for any region.
    pub class: Vec<u8>,
    /// Valid for roots.
    pub pixels: Vec<u64>,
    parent: Vec<u32>,
}

impl Forest {
    /// A new region without pixels.
    #[allow(clippy::cast_possible_truncation)] // more would need hundreds of gigabytes
    pub fn add(&mut self, class: u8) -> u32 {
        self.class.push(class);
        self.pixels.push(0);
        self.parent.push(self.parent.len() as u32);
        self.parent.len() as u32 - 1
    }

    /// Regions ever added.
    pub fn len(&self) -> usize {
        self.parent.len()
    }

    /// The region that this one is a part of now.
    pub fn root(&mut self, region: u32) -> u32 {
        root(&mut self.parent, region)
    }

    /// Makes one root a part of another, which gives both its class.
    pub fn join(&mut self, into: u32, other: u32) {
        if into != other {
            self.parent[other as usize] = into;
            self.pixels[into as usize] += self.pixels[other as usize];
        }
    }
}
