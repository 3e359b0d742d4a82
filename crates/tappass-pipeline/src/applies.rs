//! Which steps a call's dialect leaves without anything to look at; and a call of the past, without what was around it.

use tappass_model::Answer;

use crate::{compile::Placed, runner::Call, step::About};

impl Call {
    /// Why a step has nothing to look at in any call of this dialect, or cannot look at one of the past. An answer that says something all the same is
    /// looked at.
    pub(crate) fn inapplicable(&self, step: &Placed) -> Option<&'static str> {
        if self.rehearsal
            && let Some(why) = crate::rehearse::left_out(step.meta.id)
        {
            return Some(why);
        }
        let shape = self.shape();
        let silent = |answer: &Answer| answer.segments.is_empty() && answer.tool_calls.is_empty();
        match step.about {
            About::Conversation if !shape.converses() => {
                Some("does not apply: the request is no conversation and has no tools")
            }
            About::Answer
                if !shape.answers_in_words() && self.exchange.answer.as_ref().is_none_or(silent) =>
            {
                Some("does not apply: the answer has no text")
            }
            _ => None,
        }
    }
}
