//! Approvals, as agents wait for them and as people decide them.

use http::{Method, StatusCode};
use tappass_model::Dialect;

use crate::{
    params::Listed,
    router::table::{Auth, ORG_ADMIN, Route},
    routes::{approvals, my_approvals},
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(
            Method::GET,
            "/me/approvals",
            Auth::Agent,
            my_approvals::list,
            "What waits for people, of this agent",
        )
        .asks::<approvals::ApprovalQuery>()
        .gives::<Listed<approvals::ApprovalView>>(ok),
        Route::new(
            Method::GET,
            "/me/approvals/{approval}",
            Auth::Agent,
            my_approvals::show,
            "One of the agent's approvals",
        )
        .gives::<approvals::ApprovalView>(ok),
        Route::new(
            Method::GET,
            "/me/approvals/{approval}/wait",
            Auth::Agent,
            my_approvals::wait,
            "Answers when it is decided; 408 while it waits",
        )
        .asks::<my_approvals::WaitQuery>()
        .gives::<approvals::ApprovalView>(ok),
        Route::new(
            Method::POST,
            "/me/approvals/{approval}/cancel",
            Auth::Agent,
            my_approvals::cancel,
            "Takes a question back",
        )
        .gives::<approvals::ApprovalView>(ok),
        Route::new(
            Method::POST,
            "/me/approvals/{approval}/resume",
            Auth::Agent,
            my_approvals::resume,
            "Sends the stored call, once, and answers as its route would",
        )
        .gives::<serde_json::Value>(ok)
        .speaks(Dialect::OpenAiChat),
        Route::new(
            Method::GET,
            "/admin/approvals",
            ORG_ADMIN,
            approvals::list,
            "What waits for people, the newest first",
        )
        .asks::<approvals::ApprovalQuery>()
        .gives::<Listed<approvals::Question>>(ok),
        Route::new(
            Method::GET,
            "/admin/approvals/{approval}",
            ORG_ADMIN,
            approvals::show,
            "A question with all that was asked",
        )
        .gives::<approvals::WholeQuestion>(ok),
        Route::new(
            Method::POST,
            "/admin/approvals/{approval}/decide",
            ORG_ADMIN,
            approvals::decide,
            "Approves or denies, once",
        )
        .takes::<approvals::Decide>()
        .gives::<approvals::WholeQuestion>(ok),
    ]
}
