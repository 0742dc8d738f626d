//! Random choices from a tape of numbers, so that a failing model shrinks to a small one: an empty tape makes the
//! simplest choice everywhere.

pub(crate) struct Dice<'t> {
    tape: std::slice::Iter<'t, u32>,
}

impl<'t> Dice<'t> {
    pub(crate) fn new(tape: &'t [u32]) -> Self {
        Dice { tape: tape.iter() }
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.tape.next().map_or(0, |&number| number as usize % end)
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) >= 100 - percent
    }

    pub(crate) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// Every element with the chance given.
    pub(crate) fn some_of<T: Clone>(&mut self, percent: usize, choices: &[T]) -> Vec<T> {
        let taken = choices.iter().filter(|_| self.chance(percent));
        taken.cloned().collect()
    }

    /// From -10 to 10 in hundredths.
    pub(crate) fn hundredths(&mut self) -> f64 {
        let number = self.below(2001);
        let sign = if number.is_multiple_of(2) { 1.0 } else { -1.0 };
        sign * number.div_ceil(2) as f64 / 100.0
    }
}
