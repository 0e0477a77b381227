//! Passwords of people: kept as argon2id hashes, never as they are.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};

use super::secret::Secret;

/// Memory that a hash of the file may take, KiB: whoever signs in waits for it.
const MEMORY_MAX: u32 = 262_144;
/// Bytes of a password; more is no longer one.
pub const PASSWORD_MAX: usize = 1024;

fn read(hash: &str) -> Option<PasswordHash> {
    let hash = PasswordHash::new(hash).ok()?;
    let is_argon2id = hash.algorithm.as_str() == "argon2id";
    let memory = hash.params.get_decimal("m")?;
    (is_argon2id && memory <= MEMORY_MAX && hash.hash.is_some()).then_some(hash)
}

/// Whether a text is a hash that [`is_right`] can use.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    read(text).is_some()
}

/// Whether a password is the one of a hash; takes some tens of milliseconds of a core, whatever the answer.
#[must_use]
pub fn is_right(password: &str, hash: &Secret) -> bool {
    let known = read(hash.expose());
    known.is_some_and(|known| {
        Argon2::default()
            .verify_password(password.as_bytes(), &known)
            .is_ok()
    })
}

/// The hash of a password (19 MiB, two passes, one lane: OWASP's first choice, read 2026-11-30).
///
/// # Errors
/// A sentence: it is empty or too long.
pub fn hash(password: &str, salt: &[u8; 16]) -> Result<String, String> {
    if password.is_empty() || password.len() > PASSWORD_MAX {
        return Err(format!("a password has between 1 and {PASSWORD_MAX} bytes"));
    }
    let hash: PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), salt)
        .map_err(|e| format!("the password can't be hashed: {e}"))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_and_no_other() {
        let text = hash("correct horse", b"0123456789abcdef").unwrap();
        assert!(
            text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{text}"
        );
        assert!(is_hash(&text));
        let kept = Secret::new(text);
        assert!(is_right("correct horse", &kept));
        assert!(!is_right("correct horse ", &kept));
        assert!(!is_right("", &kept));
        for junk in [
            "correct horse",
            "$2b$12$abcdefghijklmnopqrstuv",
            "$argon2i$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=4194304,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAA",
            "",
        ] {
            assert!(!is_hash(junk), "{junk}");
        }
        assert!(hash("", b"0123456789abcdef").is_err());
    }
}
