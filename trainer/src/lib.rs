//! Train clothing segmentation networks.
