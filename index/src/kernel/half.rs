//! IEEE 754 half-precision numbers as their bits.

/// The largest finite half.
pub(crate) const MAX: f32 = 65504.0;

/// The half nearest to a value, of two equally near the one with an even last bit. Beyond [`MAX`] by half a unit or more:
/// infinity.
pub(crate) fn from_f32(value: f32) -> u16 {
    /// 2¹⁶: the first power of two that is not a half.
    const LIMIT: u32 = 0x4780_0000;
    /// 2⁻¹⁴: the smallest normal half.
    const NORMAL: u32 = 0x3880_0000;
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let half = if magnitude >= LIMIT {
        // Of a NaN at least one bit must be left.
        if magnitude > 0x7f80_0000 { 0x7e00 } else { 0x7c00 }
    } else if magnitude < NORMAL {
        // One half in units of 2⁻²⁴: a sum whose unit in the last place that is rounds to such units, to even.
        (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits()
    } else {
        // The exponent moves from a bias of 127 to one of 15; half a unit, less one if the result would be odd, carries.
        let odd = magnitude >> 13 & 1;
        (magnitude - (112 << 23) + 0xfff + odd) >> 13
    };
    sign | half as u16
}

/// The value of a half, exactly.
#[inline(always)]
pub(crate) fn to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let magnitude = u32::from(half & 0x7fff) << 13;
    let value = if magnitude >= 0x7c00 << 13 {
        f32::from_bits(magnitude | 0x7f80_0000)
    } else {
        // Read with the exponent of an f32 the value is too small by 2¹¹², subnormal or not.
        f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23)
    };
    f32::from_bits(value.to_bits() | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives() {
        for half in 0..=u16::MAX {
            let value = to_f32(half);
            if value.is_nan() {
                assert!(half & 0x7fff > 0x7c00);
                assert!(to_f32(from_f32(value)).is_nan());
            } else {
                assert_eq!(from_f32(value), half);
            }
        }
        assert_eq!(to_f32(0x7bff), MAX);
        assert_eq!(to_f32(1), 2f32.powi(-24));
    }

    #[test]
    fn the_nearest_half_is_taken_and_of_two_the_even_one() {
        for half in 0..0x7bff_u16 {
            let (below, above) = (f64::from(to_f32(half)), f64::from(to_f32(half + 1)));
            let middle = ((below + above) / 2.0) as f32;
            assert_eq!(f64::from(middle), (below + above) / 2.0);
            for sign in [0, 0x8000] {
                let signed = |value: f32| if sign == 0 { value } else { -value };
                assert_eq!(from_f32(signed(middle)), sign | (half + (half & 1)));
                assert_eq!(from_f32(signed(middle.next_down())), sign | half);
                assert_eq!(from_f32(signed(middle.next_up())), sign | (half + 1));
            }
        }
        assert_eq!(from_f32(65519.996), 0x7bff);
        assert_eq!(from_f32(65520.0), 0x7c00);
        assert_eq!(from_f32(f32::NEG_INFINITY), 0xfc00);
    }
}
