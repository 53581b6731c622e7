//! Frames that show whether they arrived whole: `[magic][counter][body]`, words of 64 bits in the host's order. The counter says which of the
//! known bodies it must be, and the whole frame is compared with it: no byte is left out, and comparing is quick in every build, where hashing a
//! thousand megabytes in an unoptimised one is not.

const MAGIC: u64 = 0x7368_6d66_7261_6d65;
const HEADER: usize = 16;
/// Frames so far apart have the same body.
const BODIES: usize = 4093;

/// Knows the frames of one size. Bodies are windows into one stretch of noise, so that two differ nearly everywhere.
pub struct Generator {
    noise: Vec<u8>,
    size: usize,
}

impl Generator {
    pub fn new(size: usize) -> Self {
        assert!(size >= HEADER);
        let mut state = 88_172_645_463_325_252u64;
        let mut noise = Vec::with_capacity(size + BODIES * 8 + 8);
        while noise.len() < size + BODIES * 8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.extend_from_slice(&state.to_ne_bytes());
        }
        Self { noise, size }
    }

    pub fn size(&self) -> usize {
        self.size
    }

    fn body(&self, counter: u64) -> &[u8] {
        let start = (counter % BODIES as u64) as usize * 8;
        &self.noise[start..][..self.size - HEADER]
    }

    pub fn frame(&self, counter: u64) -> Vec<u8> {
        let mut frame = Vec::with_capacity(self.size);
        frame.extend_from_slice(&MAGIC.to_ne_bytes());
        frame.extend_from_slice(&counter.to_ne_bytes());
        frame.extend_from_slice(self.body(counter));
        frame
    }

    /// The frame's counter, or `None` when any byte is not what was sent.
    pub fn check(&self, frame: &[u8]) -> Option<u64> {
        let (head, body) = frame.split_at_checked(HEADER)?;
        let (magic, counter) = head.split_at(8);
        let counter = u64::from_ne_bytes(counter.try_into().ok()?);
        (magic == MAGIC.to_ne_bytes() && body == self.body(counter)).then_some(counter)
    }
}

/// For frames that are not of a [`Generator`]: a number that stands for all of their bytes.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(bytes.len() as u64, |state, byte| {
        let mixed = (state ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    })
}

#[test]
fn frames_are_told_apart() {
    let generator = Generator::new(1000);
    for counter in [0, 1, 4092, 4093, u64::MAX] {
        let frame = generator.frame(counter);
        assert_eq!(generator.check(&frame), Some(counter));
        for byte in 0..frame.len() {
            let mut torn = frame.clone();
            torn[byte] ^= 1;
            assert_eq!(generator.check(&torn), None, "byte {byte}");
        }
    }
}
