//! The form of an id that a profile has written where there is none: `req-{uuid}`.

/// What a fresh id takes the place of.
pub const UUID: &str = "{uuid}";
/// Where a UUID's text has its hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
const UUID_LENGTH: usize = 36;

/// Whether the service would make such an id itself. Applications tell ids by their form, in small letters: OpenStack's
/// oslo.middleware does not look at a global request id of another form.
pub fn fits(template: &str, value: &[u8]) -> bool {
    let Some((before, behind)) = template.split_once(UUID) else { return template.as_bytes() == value };
    let uuid = value.strip_prefix(before.as_bytes()).and_then(|rest| rest.strip_suffix(behind.as_bytes()));
    uuid.is_some_and(is_uuid)
}

/// Another id of that form each time (RFC 9562, version 4).
pub fn fresh(template: &str) -> String {
    let random = rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let digits = format!("{random:032x}");
    let mut uuid = String::with_capacity(UUID_LENGTH);
    for digit in digits.chars() {
        if HYPHENS.contains(&uuid.len()) {
            uuid.push('-');
        }
        uuid.push(digit);
    }
    template.replacen(UUID, &uuid, 1)
}

fn is_uuid(text: &[u8]) -> bool {
    let fits = |(at, byte): (usize, &u8)| match HYPHENS.contains(&at) {
        true => *byte == b'-',
        false => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    text.len() == UUID_LENGTH && text.iter().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENSTACK: &str = "req-{uuid}";

    #[test]
    fn a_fresh_id_fits_its_form_and_is_no_other() {
        for template in [OPENSTACK, "{uuid}", "a{uuid}b"] {
            let (one, other) = (fresh(template), fresh(template));
            assert!(fits(template, one.as_bytes()), "{one}");
            assert_ne!(one, other);
        }
        let id = fresh(OPENSTACK);
        assert_eq!((id.len(), id.as_bytes()[18]), (40, b'4'), "{id}");
        assert!(matches!(id.as_bytes()[23], b'8' | b'9' | b'a' | b'b'), "{id}");
    }

    /// What oslo.middleware takes for a global request id: `^req-[a-f0-9]{8}-…$`.
    #[test]
    fn only_ids_that_the_application_takes_for_its_own_fit() {
        let good = "req-0a1b2c3d-0000-1111-2222-0123456789ab";
        assert!(fits(OPENSTACK, good.as_bytes()));
        for bad in [
            "",
            "req-",
            "req-1",
            "mine",
            "0a1b2c3d-0000-1111-2222-0123456789ab",
            "REQ-0a1b2c3d-0000-1111-2222-0123456789ab",
            "req-0A1b2c3d-0000-1111-2222-0123456789ab",
            "req-0a1b2c3d-0000-1111-2222-0123456789abc",
            "req-0a1b2c3d00000-1111-2222-0123456789ab",
            "req-0a1b2c3d-0000-1111-2222-0123456789a\u{fc}",
            "req-0a1b2c3d-0000-1111-2222-0123456789ab, req-0a1b2c3d-0000-1111-2222-0123456789ab",
        ] {
            assert!(!fits(OPENSTACK, bad.as_bytes()), "{bad}");
        }
        assert!(fits("always", b"always") && !fits("always", b"other"));
    }
}
