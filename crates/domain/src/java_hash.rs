//! The order in which a Java `HashMap<String, …>` is walked (contract 01 App. D, contract 02 A1.4).

/// Java's `String.hashCode`.
pub fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

/// Positions of `names` (distinct, in insertion order) in the order in which a map made with `initial_capacity` is
/// walked. Buckets that Java turns into trees (eight collisions and more) are taken as lists.
pub fn hash_order<'a>(
    names: impl IntoIterator<Item = &'a str>,
    initial_capacity: usize,
) -> Vec<usize> {
    let hashes: Vec<u32> = names
        .into_iter()
        .map(|name| {
            let hash = string_hash(name).cast_unsigned();
            hash ^ (hash >> 16)
        })
        .collect();
    let mut capacity = initial_capacity.max(1).next_power_of_two();
    while hashes.len() * 4 > capacity * 3 {
        capacity *= 2;
    }
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    order.sort_by_key(|&position| hashes[position] as usize & (capacity - 1));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked<'a>(names: &[&'a str]) -> Vec<&'a str> {
        let order = hash_order(names.iter().copied(), 16);
        order.into_iter().map(|position| names[position]).collect()
    }

    #[test]
    fn hashes_are_those_of_java() {
        assert_eq!(string_hash(""), 0);
        assert_eq!(string_hash("hello"), 99_162_322);
        assert_eq!(string_hash("\u{1F600}"), 0xD83D * 31 + 0xDE00);
    }

    #[test]
    fn maps_are_walked_as_the_jvm_does() {
        assert_eq!(
            walked(&["dataio_0", "intersection_0", "hetero_lr_0"]),
            ["hetero_lr_0", "intersection_0", "dataio_0"]
        );
        assert_eq!(
            walked(&[
                "reader_0",
                "data_transform_0",
                "intersection_0",
                "hetero_feature_binning_0",
                "hetero_feature_selection_0",
                "hetero_scale_0",
                "hetero_secure_boost_0",
                "evaluation_0",
            ]),
            [
                "hetero_feature_binning_0",
                "reader_0",
                "intersection_0",
                "data_transform_0",
                "evaluation_0",
                "hetero_scale_0",
                "hetero_feature_selection_0",
                "hetero_secure_boost_0",
            ]
        );
    }

    #[test]
    fn nothing_and_odd_capacities_are_fine() {
        assert!(hash_order([], 0).is_empty());
        assert_eq!(hash_order(["a"], 0), [0]);
        assert_eq!(hash_order(["b", "a"], 7), [1, 0]);
    }
}
