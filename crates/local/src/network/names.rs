//! Names of the interfaces that machines have in the namespace: one per instance, whatever cluster it is of.

/// What Linux allows: `IFNAMSIZ` is 16, with the zero at the end.
#[cfg(test)]
const LONGEST: usize = 15;
/// Digits of the numbers in names: no letter that could be taken for another, and no sign that a shell or `ip` reads.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Hexadecimal digits of an instance id, and of one from before 2016.
const ID_DIGITS: [usize; 2] = [17, 8];

/// The tap of an instance. Ids of instances have 68 bits and 14 digits of base 32 have 70, so that two instances never share a
/// name; their addresses would not do: those of two VPCs have the same last octets.
pub fn tap(instance: &str) -> String {
    let digits = instance.strip_prefix("i-").unwrap_or(instance);
    let number = u128::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match number {
        Some(number) if digits.len() == ID_DIGITS[0] => format!("t{}", base32(number, 14)),
        Some(number) if digits.len() == ID_DIGITS[1] => format!("u{}", base32(number, 7)),
        // No id of EC2; 64 bits of its digest fit.
        _ => {
            use sha2::Digest as _;
            let digest = sha2::Sha256::digest(instance);
            let number = digest.iter().take(8).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
            format!("x{}", base32(number, 14))
        }
    }
}

fn base32(mut number: u128, digits: usize) -> String {
    let mut text = vec![b'0'; digits];
    for digit in text.iter_mut().rev() {
        *digit = DIGITS[(number & 31) as usize];
        number >>= 5;
    }
    text.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The instance that a name was made of.
    fn instance(tap: &str) -> String {
        let number = tap[1..]
            .bytes()
            .fold(0_u128, |number, byte| number << 5 | DIGITS.iter().position(|digit| *digit == byte).unwrap() as u128);
        let width = if tap.starts_with('t') { 17 } else { 8 };
        format!("i-{number:0width$x}")
    }

    /// A generator whose numbers are the same in every run.
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 11
    }

    #[test]
    fn a_name_can_be_turned_back_into_its_instance_so_that_no_two_share_one() {
        let mut state = 7;
        let mut ids: Vec<String> = (0..50_000_u64)
            .map(|_| {
                format!("i-{:017x}", u128::from(random(&mut state)) << 15 | u128::from(random(&mut state)) & 0x7fff)
            })
            .collect();
        // Ids that differ in one bit, in their length, or by zeros in front.
        ids.extend((0..68).map(|bit| format!("i-{:017x}", 1_u128 << bit)));
        ids.extend((0..32).map(|bit| format!("i-{:08x}", 1_u32 << bit)));
        ids.extend(["i-00000000000000000", "i-fffffffffffffffff", "i-00000000", "i-ffffffff"].map(str::to_owned));
        let mut names = BTreeMap::new();
        for id in ids {
            let name = tap(&id);
            assert!(name.len() <= LONGEST, "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{name}");
            assert_eq!(instance(&name), id);
            if let Some(other) = names.insert(name.clone(), id.clone()) {
                assert_eq!(other, id, "{name}");
            }
        }
        assert!(names.len() > 50_000);
    }

    #[test]
    fn what_is_no_id_of_ec2_has_a_name_too_and_no_name_is_that_of_the_bridge() {
        for word in ["", "i-", "bare-1", "i-0123", "i-0123456789abcdef01", "i-zzzzzzzzzzzzzzzzz", "i-+123456789abcdef0"]
        {
            let name = tap(word);
            assert_eq!((name.len(), &name[..1]), (LONGEST, "x"), "{word}: {name}");
        }
        assert_ne!(tap("bare-1"), tap("bare-2"));
        assert!([super::super::BRIDGE, "lo"].iter().all(|taken| !taken.starts_with(['t', 'u', 'x'])));
    }
}
