//! Matchers of one side of an operator that may as well be put to the other side: a series with another value of a
//! label that takes part in matching has no partner.
//!
//! That is exact only where leaving such series out cannot be noticed otherwise. An arithmetic operator or a comparison
//! complains of two series of the "one" side in one group, even where no series of the other side belongs to it; but
//! two series of one metric, matched by all their labels, are never in one group. The set operators never complain.

use model::Matcher;

use crate::ast::{BinaryOp, Cardinality, RangeMode, VectorMatching};
use crate::eval::is_metadata;
use crate::functions::CallKind;

use super::{Node, SelectorPlan};

/// Puts the matchers of each side to the other one, where the result is the same for certain.
pub(super) fn share_matchers(op: BinaryOp, matching: &VectorMatching, lhs: &mut Node, rhs: &mut Node) {
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    let (left, right) = match op {
        _ if fills => return,
        BinaryOp::And => (true, true),
        BinaryOp::Unless => (false, true),
        BinaryOp::Or => return,
        _ => {
            let by_all_labels = !matching.on && matching.labels.is_empty();
            let single = lhs.has_single_name() && rhs.has_single_name();
            let shared = matching.card == Cardinality::OneToOne && by_all_labels && single;
            (shared, shared)
        }
    };
    let (Some(left_selector), Some(right_selector)) = (selector(lhs), selector(rhs)) else { return };
    let (for_left, for_right) = (matchers(right_selector, matching), matchers(left_selector, matching));
    if left {
        add(left_selector, for_left);
    }
    if right {
        add(right_selector, for_right);
    }
}

/// What a selector demands of labels that take part in matching.
fn matchers(selector: &SelectorPlan, matching: &VectorMatching) -> Vec<Matcher> {
    let taking_part = |m: &&Matcher| !is_metadata(m.name()) && matching.matches_on(m.name());
    selector.matchers.iter().filter(taking_part).cloned().collect()
}

fn add(selector: &mut SelectorPlan, matchers: Vec<Matcher>) {
    for matcher in matchers {
        if !selector.matchers.contains(&matcher) {
            selector.matchers.push(matcher);
        }
    }
}

/// The selector of an expression whose series are those of the selector, one by one, with all their labels but what says
/// which metric they are, and that notes nothing about series.
fn selector(node: &mut Node) -> Option<&mut SelectorPlan> {
    match node {
        // Between samples of different kinds there is no value, which is noted.
        Node::Vector(e) => (e.mode != RangeMode::Smoothed).then_some(e),
        Node::Negate(e, _) | Node::Constant(e) => selector(e),
        Node::Call(e) if matches!(e.kind, CallKind::Float(_)) => e.args.first_mut().and_then(selector),
        _ => None,
    }
}
