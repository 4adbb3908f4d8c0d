//! What a network must decide in tasks that have classes.

use std::ops::Range;

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use super::values;

/// A stretch of a sequence whose class the network must tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The sequence in its batch.
    pub sequence: usize,
    /// The steps of which the decision is taken.
    pub steps: Range<usize>,
    /// The class.
    pub class: usize,
}

/// The class with the largest mean softmax over a question's steps, for each question, of outputs [batch, time, classes].
pub fn decide(outputs: &Tensor<3>, questions: &[Question]) -> Vec<usize> {
    let [_, steps, classes] = outputs.dims();
    let shares = values(&softmax(outputs.clone(), 2));
    let decision = |question: &Question| {
        let rows = &shares[question.sequence * steps * classes..][..steps * classes];
        let rows = &rows[question.steps.start * classes..question.steps.end * classes];
        let sum = |class: usize| rows.iter().skip(class).step_by(classes).sum::<f32>();
        let sums: Vec<f32> = (0..classes).map(sum).collect();
        (0..classes).max_by(|&a, &b| sums[a].total_cmp(&sums[b])).expect("there is a class")
    };
    questions.iter().map(decision).collect()
}

/// The share of questions that are decided rightly, where classes that are judged alike count as one; NaN without questions.
pub fn accuracy(decisions: &[usize], questions: &[Question], judged: fn(usize) -> usize) -> f64 {
    let pairs = decisions.iter().zip(questions);
    let right = pairs.filter(|(decision, question)| judged(**decision) == judged(question.class));
    right.count() as f64 / questions.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn a_decision_is_of_the_mean_softmax_over_the_steps() {
        let question = |sequence, steps, class| Question { sequence, steps, class };
        // A single large output says no more than a softmax of 1.
        let outputs = Tensor::<3>::from_data(
            [[[9.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [[0.0, 1.0], [5.0, 0.0], [5.0, 0.0]]],
            &Device::flex(),
        );
        let questions =
            [question(0, 0..3, 0), question(0, 1..3, 1), question(1, 0..1, 1), question(1, 0..3, 1)];
        let decisions = decide(&outputs, &questions);
        assert_eq!(decisions, [0, 1, 1, 0]);
        assert_eq!(accuracy(&decisions, &questions, |class| class), 0.75);
        assert_eq!(accuracy(&decisions, &questions, |_| 0), 1.0);
    }
}
