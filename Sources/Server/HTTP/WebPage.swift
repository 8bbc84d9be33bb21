internal import HTTPTypes
internal import Hummingbird

/// The page at `/` and the description of the API: files that the build put into the program, so that nothing else is needed to serve or to see it.
enum WebPage {
    /// The page loads nothing from elsewhere, runs no inline script, and cannot be framed.
    private static let policy = [
        "default-src 'none'", "script-src 'self'", "style-src 'self' 'unsafe-inline'", "img-src 'self' data: blob:",
        "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    ].joined(separator: "; ")

    private static let files: [(path: String, type: String, bytes: [UInt8])] = [
        ("/", "text/html; charset=utf-8", PackageResources.index_html),
        ("/web/style.css", "text/css; charset=utf-8", PackageResources.style_css),
        ("/web/icon.svg", "image/svg+xml", PackageResources.icon_svg),
        ("/web/app.js", "text/javascript; charset=utf-8", PackageResources.app_js),
        ("/web/api.js", "text/javascript; charset=utf-8", PackageResources.api_js),
        ("/web/camera.js", "text/javascript; charset=utf-8", PackageResources.camera_js),
        ("/web/markdown.js", "text/javascript; charset=utf-8", PackageResources.markdown_js),
        ("/web/sees.js", "text/javascript; charset=utf-8", PackageResources.sees_js),
        ("/openapi.json", "application/json", PackageResources.openapi_json),
        ("/web/store.js", "text/javascript; charset=utf-8", PackageResources.store_js),
    ]

    static let routes: [Route] = files.map { file in
        Route(.get, file.path) { _ in
            Response(
                status: .ok,
                headers: [
                    .contentType: file.type, .cacheControl: "no-cache", .contentSecurityPolicy: policy,
                ], body: ResponseBody(byteBuffer: ByteBuffer(bytes: file.bytes)))
        }
    }
}
