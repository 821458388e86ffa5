//! Cut garments out of photos.
