//! Numbers of things in messages.

/// `1 file`, `2 files`.
pub fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_singular_and_none_is_plural() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "class", "classes")), ["0 classes", "1 class", "2 classes"]);
    }
}
