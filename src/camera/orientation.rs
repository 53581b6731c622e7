//! How pictures lie.

/// A picture that was turned clockwise and then, perhaps, mirrored left to right; the same eight as EXIF has. As what is to be done with a picture,
/// it means just that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Orientation {
    /// Quarters of a turn, below four.
    pub quarters: u8,
    pub mirrored: bool,
}

impl Orientation {
    pub const UPRIGHT: Self = Self::new(0, false);

    pub const fn new(quarters: u8, mirrored: bool) -> Self {
        Self {
            quarters: quarters % 4,
            mirrored,
        }
    }

    /// What leads from pictures that lie like `self` to those that lie like `wanted`.
    pub fn to(self, wanted: Self) -> Self {
        // A turn passes a mirror by turning the other way.
        let quarters = if self.mirrored {
            self.quarters + 4 - wanted.quarters
        } else {
            wanted.quarters + 4 - self.quarters
        };
        Self::new(quarters, self.mirrored != wanted.mirrored)
    }

    /// Width and height change places.
    pub fn is_transposing(self) -> bool {
        self.quarters % 2 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the upper left, upper right, lower right and lower left corner of a picture come to lie.
    fn corners(orientation: Orientation, mut corners: [u8; 4]) -> [u8; 4] {
        corners.rotate_right(orientation.quarters.into());
        if orientation.mirrored {
            corners.swap(0, 1);
            corners.swap(2, 3);
        }
        corners
    }

    #[test]
    fn what_leads_from_one_to_another_does() {
        let all = || {
            [false, true].into_iter().flat_map(|mirrored| {
                (0..4).map(move |quarters| Orientation::new(quarters, mirrored))
            })
        };
        let upright = [1, 2, 3, 4];
        for from in all() {
            for wanted in all() {
                let turned = corners(from.to(wanted), corners(from, upright));
                assert_eq!(turned, corners(wanted, upright), "{from:?} to {wanted:?}");
            }
        }
    }
}
