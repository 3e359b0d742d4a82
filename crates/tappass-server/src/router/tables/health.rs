//! Health, metrics and status.

use http::{Method, StatusCode};

use crate::{
    router::table::{ADMIN, Auth, MEMBER, Route},
    routes::{health, license, status},
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(Method::GET, "/health", Auth::Open, health::health, "Version, storage, uptime")
            .gives::<health::Health>(ok),
        Route::new(Method::GET, "/health/live", Auth::Open, health::live, "Whether the process answers")
            .gives::<health::Live>(ok),
        Route::new(
            Method::GET,
            "/health/ready",
            Auth::Open,
            health::ready,
            "Whether it can do its work, part by part",
        )
        .gives::<health::Ready>(ok),
        Route::new(
            Method::GET,
            "/health/startup",
            Auth::Open,
            health::startup,
            "503 until ready the first time",
        )
        .gives::<health::Ready>(ok),
        Route::new(Method::GET, "/metrics", ADMIN, health::prometheus, "Metrics as Prometheus reads them"),
        Route::new(Method::GET, "/admin/metrics", ADMIN, health::metrics, "What each step costs and finds")
            .gives::<crate::metrics::Report>(ok),
        Route::new(Method::GET, "/admin/license", ADMIN, license::show, "The licence, and how it stands")
            .gives::<license::LicenseView>(ok),
        Route::new(
            Method::GET,
            "/admin/status",
            MEMBER,
            status::status,
            "How everything is, and what mends it",
        )
        .gives::<status::Status>(ok),
    ]
}
