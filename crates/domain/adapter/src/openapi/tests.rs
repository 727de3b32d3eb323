use super::*;
use crate::{CallError, HttpRequest, NoteKind, percent};
use proptest::prelude::*;
use serde_json::{Value, json};

const ORDERS: &[u8] = include_bytes!("../../tests/data/orders.json");
const DEVICES: &[u8] = include_bytes!("../../tests/data/devices.json");

fn tools(text: &[u8]) -> Import<Operation> {
    import(text, &Limits::DEFAULT).unwrap()
}

fn tool(text: &[u8], name: &str) -> Operation {
    let import = tools(text);
    let names: Vec<&str> = import.tools.iter().map(Operation::name).collect();
    import.tools.iter().find(|t| t.name() == name).unwrap_or_else(|| panic!("no {name} in {names:?}")).clone()
}

fn definition(tool: &Operation) -> Value {
    serde_json::from_slice(tool.definition()).unwrap()
}

fn call(tool: &Operation, arguments: &str) -> Result<HttpRequest, CallError> {
    let arguments = Json::parse(arguments.as_bytes(), interlock_model::json::Limits::REQUEST).unwrap();
    tool.request(Some(arguments.root()))
}

fn target(tool: &Operation, arguments: &str) -> String {
    call(tool, arguments).map_or_else(|e| e.to_string(), |request| request.path_and_query)
}

/// An operation `GET path` with these parameters.
fn operation(path: &str, parameters: Value) -> Operation {
    let text = json!({"openapi": "3.1.1", "paths": {path: {"get": {"operationId": "t", "parameters": parameters}}}});
    let import = tools(text.to_string().as_bytes());
    import.tools.first().unwrap_or_else(|| panic!("{:?}", import.left_out)).clone()
}

fn without_arguments(mut http: Value) -> Value {
    http.as_object_mut().unwrap().remove("arguments");
    http
}

#[test]
fn a_definition_says_all_that_decides_what_is_sent() {
    let of = |parameters: Value| definition(&operation("/t/{id}", parameters));
    let id = json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string"}});
    let q = |more: Value| {
        let mut q = json!({"name": "q", "in": "query", "schema": {"type": "array"}});
        q.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([id, q])
    };
    let plain = of(q(json!({})));
    assert_eq!(
        plain["_meta"]["interlock/http"]["arguments"],
        json!({"id": "path id, simple", "q": "query q, form, exploded"})
    );
    for other in [
        json!({"in": "cookie"}),
        json!({"in": "header"}),
        json!({"explode": false}),
        json!({"style": "pipeDelimited"}),
        json!({"allowReserved": true}),
    ] {
        let mut found = of(q(other.clone()));
        assert_ne!(found, plain, "{other}");
        found["_meta"] = plain["_meta"].clone();
        assert_eq!(found, plain, "nothing else would tell them apart: {other}");
    }
    let schemes = |name: &str| {
        let text = json!({"openapi": "3.1.1",
            "paths": {"/t/{id}": {"get": {"operationId": "t", "parameters": q(json!({}))}}},
            "components": {"securitySchemes": {"k": {"type": "apiKey", "in": "query", "name": name}}}});
        definition(&tools(text.to_string().as_bytes()).tools[0])["_meta"]["interlock/http"]["arguments"]["q"].clone()
    };
    assert_eq!(schemes("Shop_Key"), "query q, form, exploded, save shop-key");
    let body = |media: &str| {
        let text = json!({"openapi": "3.1.1", "paths": {"/t": {"post": {"requestBody": {"content": {media: {}}}}}}});
        definition(&tools(text.to_string().as_bytes()).tools[0])["_meta"]["interlock/http"]["arguments"].clone()
    };
    assert_eq!(body("application/json"), json!({"body": "body, application/json"}));
    assert_eq!(body("text/plain"), json!({"body": "body, text/plain; charset=utf-8"}));
}

#[test]
fn the_gateways_own_headers_are_no_arguments() {
    let parameters = json!([{"name": "X-Tenant", "in": "header", "required": true}, {"name": "X-Other", "in": "header"},
        {"name": "SID", "in": "cookie"}]);
    let text = json!({"openapi": "3.1.1", "info": {"title": " Shop ", "version": "2"},
        "paths": {"/": {"get": {"operationId": "t", "parameters": parameters}}}});
    let beside = Beside { headers: vec!["x-tenant".into()], cookies: vec!["sid".into()] };
    let import = import_beside(text.to_string().as_bytes(), &beside, &Limits::DEFAULT).unwrap();
    let tool = &import.tools[0];
    assert_eq!(definition(tool)["inputSchema"]["properties"].as_object().unwrap().len(), 1);
    assert!(call(tool, r#"{"X-Tenant":"other"}"#).is_err() && call(tool, r#"{"sid":"other"}"#).is_err());
    assert!(call(tool, "{}").unwrap().headers.is_empty());
    assert_eq!((&*import.about.title, &*import.about.version), ("Shop", "2"));
}

#[test]
fn orders_are_tools() {
    let import = tools(ORDERS);
    let found: Vec<(&str, Value)> = import
        .tools
        .iter()
        .map(|t| (t.name(), without_arguments(definition(t)["_meta"]["interlock/http"].clone())))
        .collect();
    let http = |method: &str, path: &str| json!({"method": method, "path": path});
    assert_eq!(
        found,
        [
            ("listOrders", http("GET", "/orders")),
            ("createOrder", http("POST", "/orders")),
            ("getOrder", http("GET", "/orders/{id}")),
            ("replaceOrder", http("PUT", "/orders/{id}")),
            ("delete_orders_id", http("DELETE", "/orders/{id}")),
            ("order_file", http("GET", "/orders/{id}/files/{path}")),
        ]
    );
    let left_out: Vec<String> = import.left_out.iter().map(|l| format!("{}: {}", l.what, l.reason)).collect();
    assert_eq!(left_out, ["TRACE /orders/{id}: the method is not one that tools may use"]);
    let notes: Vec<(&str, String)> = import.notes.iter().map(|n| (n.tool.as_str(), n.kind.to_string())).collect();
    let reserved = |name: &str| NoteKind::Reserved(name.to_owned()).to_string();
    assert_eq!(
        notes,
        [
            ("listOrders", reserved("Authorization")),
            ("listOrders", reserved("orders_key")),
            ("order_file", reserved("session")),
        ]
    );
}

#[test]
fn definitions_say_what_the_description_says() {
    let list = definition(&tool(ORDERS, "listOrders"));
    assert_eq!(list["description"], "Lists orders.");
    assert_eq!(
        list["inputSchema"],
        json!({
            "type": "object",
            "properties": {
                "status": {"description": "Only these.", "type": "array", "items": {"type": "string", "enum": ["open", "shipped"]}},
                "limit": {"type": "integer", "exclusiveMinimum": 0, "maximum": 100, "default": 20},
                "filter": {"type": "object", "additionalProperties": {"type": "string"}},
                "X-Request-ID": {"type": "string", "format": "uuid"},
            },
            "additionalProperties": false,
        })
    );
    let create = definition(&tool(ORDERS, "createOrder"));
    assert_eq!(
        create["inputSchema"],
        json!({
            "type": "object",
            "properties": {"body": {"$ref": "#/$defs/Order", "description": "The request body."}},
            "required": ["body"],
            "additionalProperties": false,
            "$defs": {
                "Order": {
                    "type": "object",
                    "properties": {
                        "note": {"type": ["string", "null"], "maxLength": 200},
                        "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Line"}},
                        "replaces": {"$ref": "#/$defs/Order"},
                    },
                    "required": ["lines"],
                },
                "Line": {
                    "type": "object",
                    "properties": {
                        "article": {"type": "string", "pattern": "^[A-Z]{2}[0-9]+$", "examples": ["AB12"]},
                        "price": {"anyOf": [{"type": "number"}, {"type": "string"}]},
                    },
                    "required": ["article"],
                },
            },
        })
    );
    let get = definition(&tool(ORDERS, "getOrder"));
    assert_eq!(get["inputSchema"]["required"], json!(["path_id"]));
    assert_eq!(get["inputSchema"]["properties"]["query_id"], json!({"type": "string"}));
    assert_eq!(get["description"], "GET /orders/{id}");
    assert_eq!(definition(&tool(ORDERS, "delete_orders_id"))["description"], "Cancels an order.\n\nDeprecated.");
}

#[test]
fn long_names_stay_apart() {
    let (long, longer) = ("x".repeat(80), "x".repeat(90));
    let tool = operation(
        "/",
        json!([{"name": long, "in": "query"}, {"name": longer, "in": "query"}, {"name": long, "in": "header"}]),
    );
    let schema = definition(&tool)["inputSchema"]["properties"].clone();
    let names: Vec<&String> = schema.as_object().unwrap().keys().collect();
    assert!(names.len() == 3 && names.iter().all(|name| name.len() <= 64), "{names:?}");
}

#[test]
fn annotations_follow_the_method() {
    for (name, read_only, destructive, idempotent) in [
        ("listOrders", true, false, true),
        ("createOrder", false, true, false),
        ("replaceOrder", false, true, true),
        ("delete_orders_id", false, true, true),
    ] {
        let expected = json!({
            "readOnlyHint": read_only, "destructiveHint": destructive, "idempotentHint": idempotent, "openWorldHint": true,
        });
        assert_eq!(definition(&tool(ORDERS, name))["annotations"], expected, "{name}");
    }
}

#[test]
fn calls_of_orders() {
    let list = tool(ORDERS, "listOrders");
    let request = call(
        &list,
        r#"{"X-Request-ID":"a-1","filter":{"customer name":"x&y=z","n":1.50},"status":["open","a b"],"limit":10000000000000000000000}"#,
    )
    .unwrap();
    assert_eq!(
        request.path_and_query,
        "/orders?status=open&status=a%20b&limit=10000000000000000000000&filter%5Bcustomer%20name%5D=x%26y%3Dz&filter%5Bn%5D=1.50"
    );
    assert_eq!(request.headers, [("X-Request-ID".to_owned(), "a-1".to_owned())]);
    assert_eq!((request.method, request.body, request.content_type), (Method::Get, None, None));
    assert_eq!(list.request(None).unwrap().path_and_query, "/orders");

    let replace = tool(ORDERS, "replaceOrder");
    let request = call(&replace, r#"{"id": 7, "body": { "lines":[ {"price":1.10e2} ] } }"#).unwrap();
    assert_eq!(request.path_and_query, "/orders/7");
    assert_eq!(request.body.as_deref(), Some(&br#"{ "lines":[ {"price":1.10e2} ] }"#[..]));
    assert_eq!(request.content_type.as_deref(), Some("application/json"));

    let file = tool(ORDERS, "order_file");
    let request = call(&file, r#"{"id":1,"path":"a/b?c#d","theme":"dark; session=1"}"#).unwrap();
    assert_eq!(request.path_and_query, "/orders/1/files/a%2Fb%3Fc%23d");
    assert_eq!(request.headers, [("Cookie".to_owned(), "theme=dark%3B%20session%3D1".to_owned())]);
}

#[test]
fn calls_that_are_refused() {
    let file = tool(ORDERS, "order_file");
    for (arguments, expected) in [
        ("[]", "the arguments must be an object"),
        (r#"{"id":1}"#, "the argument `path` is required"),
        (r#"{"id":1,"path":"x","session":"stolen"}"#, "the tool has no argument `session`"),
        (r#"{"id":1,"path":"x","a\nb":1}"#, r"the tool has no argument `a\nb`"),
        (r#"{"id":1,"path":null}"#, "the argument `path` cannot be sent: null cannot be sent here"),
        (r#"{"id":1,"path":""}"#, "the argument `path` cannot be sent: a part of the path must not be empty"),
        (r#"{"id":1,"path":[]}"#, "the argument `path` cannot be sent: a part of the path must not be empty"),
        (
            r#"{"id":1,"path":[[1]]}"#,
            "the argument `path` cannot be sent: nested lists and objects cannot be sent here",
        ),
        (
            r#"{"id":1,"path":"a\u0000b"}"#,
            "the argument `path` cannot be sent: control characters cannot be part of the path",
        ),
        (
            r#"{"id":1,"path":"a%0d%0ab"}"#,
            "the argument `path` cannot be sent: control characters cannot be part of the path",
        ),
    ] {
        assert_eq!(target(&file, arguments), expected, "{arguments}");
    }
    for dots in
        [".", "..", "../admin", "a/../../b", "..\\b", "%2e%2e", "%252e%252e/x", "..;/x", "a/%2E%2e;v=1/b", "./x"]
    {
        let expected = "the argument `path` cannot be sent: a part of the path must not be a dot segment";
        assert_eq!(target(&file, &json!({"id": 1, "path": dots}).to_string()), expected, "{dots}");
    }
    for fine in ["...", "a..b", ".well-known", "%", "%zz", "a%2Fb", "heads/main"] {
        let found = target(&file, &json!({"id": 1, "path": fine}).to_string());
        assert_eq!(found, format!("/orders/1/files/{}", percent::encoded(fine)));
    }
    let list = tool(ORDERS, "listOrders");
    for bad in ["a\r\nHost: x", "a\u{0}", "é", " a", "a ", "a\tb"] {
        let found = target(&list, &json!({"X-Request-ID": bad}).to_string());
        assert!(found.contains("a header's value must be visible ASCII"), "{bad:?}: {found}");
    }
    assert!(target(&list, r#"{"filter":{"a][b":"1"}}"#).contains("separates items"));
    assert!(target(&list, r#"{"filter":"x"}"#).contains("style is not defined"));
    assert!(target(&list, &json!({"status": ["x".repeat(20_000)]}).to_string()).contains("over 16384"));
}

#[test]
fn devices() {
    let import = tools(DEVICES);
    let names: Vec<&str> = import.tools.iter().map(Operation::name).collect();
    // Two operations of one name: both get another, and neither depends on which came first.
    assert_eq!(names.len(), 3);
    assert!(names[0].starts_with("devices_update_") && names[2].starts_with("devices_update_") && names[0] != names[2]);
    assert_eq!(names[1], "login");
    let left_out: Vec<(&str, &Reason)> = import.left_out.iter().map(|l| (l.what.as_str(), &l.reason)).collect();
    assert_eq!(left_out, [("POST /upload", &Reason::Body)]);
    let notes: Vec<String> = import.notes.iter().map(|n| n.kind.to_string()).collect();
    assert_eq!(
        notes,
        [
            "`upload` is not an argument: a parameter in a place other than path, query, header or cookie",
            "keywords that are not supported were taken out of the input schema",
            "a reference in the input schema is not followed: that part admits anything",
        ]
    );
    let update = &import.tools[0];
    let schema = &definition(update)["inputSchema"];
    assert_eq!(schema["properties"]["body"], json!({"$ref": "#/$defs/Patch", "description": "The request body."}));
    assert_eq!(schema["properties"]["query_body"], json!({"type": "boolean"}));
    assert_eq!(schema["required"], json!(["site", "ids"]));
    let request = call(
        update,
        r#"{"site":"north","ids":[1,2],"query_body":true,"tags":["a","b"],"where":{"x": [1, "&"]},"body":{"name":null}}"#,
    )
    .unwrap();
    assert_eq!(
        request.path_and_query,
        "/sites/north/devices;ids=1;ids=2?body=true&tags=a%7Cb&where=%7B%22x%22%3A%20%5B1%2C%20%22%26%22%5D%7D"
    );
    assert_eq!(request.content_type.as_deref(), Some("application/merge-patch+json"));
    assert_eq!(request.body.as_deref(), Some(&br#"{"name":null}"#[..]));
    assert_eq!(
        definition(&import.tools[2])["inputSchema"]["properties"]["body"],
        json!({"description": "The request body."})
    );

    let login = &import.tools[1];
    let request = call(login, r#"{"body":{"user":"a&b=c","scope":["x","y z"],"n":null}}"#).unwrap();
    assert_eq!(request.body.as_deref(), Some(&b"user=a%26b%3Dc&scope=x&scope=y%20z"[..]));
    assert_eq!(request.content_type.as_deref(), Some("application/x-www-form-urlencoded"));
}

/// OpenAPI 3.1.1, "Style Examples".
#[test]
fn styles() {
    let (one, list, members) = (r#""blue""#, r#"["blue","black","brown"]"#, r#"{"R":100,"G":200,"B":150}"#);
    for (style, explode, value, expected) in [
        ("matrix", false, r#""""#, ";color"),
        ("matrix", false, one, ";color=blue"),
        ("matrix", false, list, ";color=blue,black,brown"),
        ("matrix", false, members, ";color=R,100,G,200,B,150"),
        ("matrix", true, list, ";color=blue;color=black;color=brown"),
        ("matrix", true, members, ";R=100;G=200;B=150"),
        ("label", false, one, ".blue"),
        ("label", false, list, ".blue,black,brown"),
        ("label", false, members, ".R,100,G,200,B,150"),
        ("label", true, list, ".blue.black.brown"),
        ("label", true, members, ".R=100.G=200.B=150"),
        ("simple", false, one, "blue"),
        ("simple", false, list, "blue,black,brown"),
        ("simple", false, members, "R,100,G,200,B,150"),
        ("simple", true, list, "blue,black,brown"),
        ("simple", true, members, "R=100,G=200,B=150"),
    ] {
        let tool = operation("/x{color}", json!([{"name": "color", "in": "path", "style": style, "explode": explode}]));
        assert_eq!(
            target(&tool, &format!(r#"{{"color":{value}}}"#)),
            format!("/x{expected}"),
            "{style} {explode} {value}"
        );
    }
    for (style, explode, value, expected) in [
        ("form", false, r#""""#, "color="),
        ("form", false, one, "color=blue"),
        ("form", false, list, "color=blue,black,brown"),
        ("form", false, members, "color=R,100,G,200,B,150"),
        ("form", true, r#""""#, "color="),
        ("form", true, list, "color=blue&color=black&color=brown"),
        ("form", true, members, "R=100&G=200&B=150"),
        ("spaceDelimited", false, list, "color=blue%20black%20brown"),
        ("spaceDelimited", false, members, "color=R%20100%20G%20200%20B%20150"),
        ("pipeDelimited", false, list, "color=blue%7Cblack%7Cbrown"),
        ("pipeDelimited", false, members, "color=R%7C100%7CG%7C200%7CB%7C150"),
        ("deepObject", true, members, "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150"),
    ] {
        let tool = operation("/", json!([{"name": "color", "in": "query", "style": style, "explode": explode}]));
        assert_eq!(
            target(&tool, &format!(r#"{{"color":{value}}}"#)),
            format!("/?{expected}"),
            "{style} {explode} {value}"
        );
        for empty in ["[]", "{}", "null"] {
            assert_eq!(target(&tool, &format!(r#"{{"color":{empty}}}"#)), "/", "{style} {explode} {empty}");
        }
    }
    for (explode, value, expected) in [
        (false, one, "blue"),
        (false, list, "blue,black,brown"),
        (false, members, "R,100,G,200,B,150"),
        (true, members, "R=100,G=200,B=150"),
    ] {
        let tool = operation("/", json!([{"name": "X-C", "in": "header", "explode": explode}]));
        let request = call(&tool, &format!(r#"{{"X-C":{value}}}"#)).unwrap();
        assert_eq!(request.headers, [("X-C".to_owned(), expected.to_owned())]);
    }
}

#[test]
fn items_do_not_run_into_each_other() {
    let refused = |location: &str, style: &str, explode: bool, value: &str| {
        let path = if location == "path" { "/{X}" } else { "/" };
        let tool = operation(path, json!([{"name": "X", "in": location, "style": style, "explode": explode}]));
        target(&tool, &format!(r#"{{"X":{value}}}"#))
    };
    let separates = "the argument `X` cannot be sent: an item contains the character that separates items";
    assert_eq!(refused("query", "spaceDelimited", false, r#"["a b"]"#), separates);
    assert_eq!(refused("query", "pipeDelimited", false, r#"["a|b"]"#), separates);
    assert_eq!(refused("header", "simple", false, r#"["a,b"]"#), separates);
    assert_eq!(refused("header", "simple", true, r#"{"a=b":"c"}"#), separates);
    assert_eq!(refused("path", "label", true, r#"["a.b","c"]"#), separates);
    // Encoded, these stay apart.
    assert_eq!(refused("query", "form", false, r#"["a,b","c"]"#), "/?X=a%2Cb,c");
    assert_eq!(refused("path", "simple", false, r#"["a,b","c"]"#), "/a%2Cb,c");
    assert!(refused("cookie", "form", true, "[1,2]").contains("style is not defined"));
    assert!(refused("query", "spaceDelimited", false, "1").contains("style is not defined"));
}

#[test]
fn an_object_sets_no_other_parameter() {
    let text = json!({
        "openapi": "3.0.0",
        "components": {"securitySchemes": {"k": {"type": "apiKey", "in": "query", "name": "the_key"}}},
        "paths": {"/": {"get": {"parameters": [
            {"name": "filter", "in": "query", "schema": {"type": "object"}},
            {"name": "tenant", "in": "query", "schema": {}},
        ]}}},
    });
    let tool = tools(text.to_string().as_bytes()).tools.remove(0);
    assert_eq!(target(&tool, r#"{"filter":{"a":"1","filter":2}}"#), "/?a=1&filter=2");
    for name in ["tenant", "Tenant", "the_key", "THE-KEY", "access_token", "_method"] {
        let found = target(&tool, &json!({"filter": {name: "x"}}).to_string());
        assert_eq!(found, "the argument `filter` cannot be sent: a member has the name of another parameter", "{name}");
    }
}

#[test]
fn reserved_characters_that_are_allowed_end_nothing() {
    let parameter = json!([{"name": "q", "in": "query", "allowReserved": true, "schema": {}}]);
    let tool = operation("/", parameter);
    let found = target(&tool, r#"{"q":"a:/?@!$'()*b&c=d#e+f;g[h],i j%20"}"#);
    assert_eq!(found, "/?q=a:/?@!$'()*b%26c%3Dd%23e%2Bf%3Bg%5Bh%5D%2Ci%20j%2520");
}

#[test]
fn operations_that_are_left_out() {
    let path = |parameters: Value| json!({"get": {"parameters": parameters}});
    let text = json!({"openapi": "3.1.0", "paths": {
        "/a/{x}": path(json!([])),
        "/b": path(json!([{"$ref": "file:///etc/passwd"}])),
        "/c": path(json!([{"$ref": "http://169.254.169.254/x#/y"}])),
        "/d": path(json!([{"$ref": "#/nowhere"}])),
        "/e": path(json!([{"name": "x", "in": "query", "required": true, "style": "matrix"}])),
        "/f": path(json!([{"name": "x y", "in": "header", "required": true}])),
        "/g?x=1": path(json!([])),
        "/../h": path(json!([])),
        "no slash": path(json!([])),
        "/i": {"$ref": "other.yaml"},
        "/j": {"get": 1},
        "/k/{x}": path(json!([{"name": "x", "in": "path", "content": {"text/plain": {}}}])),
        "/l": path(json!([7])),
        "x-note": {"get": {}},
    }});
    let import = tools(text.to_string().as_bytes());
    assert_eq!(import.tools.iter().map(Operation::name).collect::<Vec<_>>(), Vec::<&str>::new());
    let reasons: std::collections::BTreeMap<String, String> =
        import.left_out.into_iter().map(|l| (l.what, l.reason.to_string())).collect();
    let expected = [
        ("/i", "a `$ref` leads out of the document, and nothing is fetched"),
        ("GET /../h", "the path has a dot segment or a control character"),
        ("GET /a/{x}", "no parameter is described for a part of the path"),
        ("GET /b", "a `$ref` leads out of the document, and nothing is fetched"),
        ("GET /c", "a `$ref` leads out of the document, and nothing is fetched"),
        ("GET /d", "a `$ref` leads to nothing in the document"),
        ("GET /e", "`x`: a style that is not defined for the parameter's place"),
        ("GET /f", "`x y`: a name that a header or cookie cannot have"),
        ("GET /g?x=1", "the path has a query or a fragment"),
        ("GET /j", "not described as an operation"),
        ("GET /k/{x}", "`x`: a parameter of a media type other than JSON"),
        ("GET /l", "``: not a parameter"),
        ("GET no slash", "the path does not begin with a slash"),
    ];
    assert_eq!(reasons, expected.map(|(what, reason)| (what.to_owned(), reason.to_owned())).into());
}

#[test]
fn documents_that_are_none() {
    for (text, expected) in [
        ("[1]", "`(the description)` of the description must be an object"),
        ("{}", "not an OpenAPI 3.0 or 3.1 description, but ``"),
        (r#"{"swagger":"2.0"}"#, "not an OpenAPI 3.0 or 3.1 description, but `2.0`"),
        (r#"{"openapi":"3.2.0"}"#, "not an OpenAPI 3.0 or 3.1 description, but `3.2.0`"),
        (r#"{"openapi":"3.1.0"}"#, "`paths` of the description must be an object"),
        (r#"{"openapi":"3.1.0","openapi":"3.0.0"}"#, "a member that the object already has at byte 19"),
        (r#"{"openapi": 3.0.0}"#, "not valid JSON at byte 15"),
        ("openapi: 3.0.0", "`paths` of the description must be an object"),
        ("", "`(the description)` of the description must be an object"),
    ] {
        assert_eq!(import(text.as_bytes(), &Limits::DEFAULT).unwrap_err().to_string(), expected, "{text}");
    }
    let nested = "{\"a\":".repeat(1024 * 1024);
    assert!(import(nested.as_bytes(), &Limits::DEFAULT).unwrap_err().to_string().starts_with("nested too deep"));
    let nested = "[".repeat(1024 * 1024);
    assert!(matches!(import(nested.as_bytes(), &Limits::DEFAULT), Err(DescriptionError::Yaml { .. })));
    let large = vec![b' '; Limits::DEFAULT.bytes + 1];
    assert!(matches!(import(&large, &Limits::DEFAULT), Err(DescriptionError::TooLarge { .. })));
}

fn with_body(schema: Value, schemas: Value) -> Import<Operation> {
    let text = json!({
        "openapi": "3.1.0",
        "paths": {"/": {"post": {"operationId": "t", "requestBody": {"content": {"application/json": {"schema": schema}}}}}},
        "components": {"schemas": schemas},
    });
    tools(text.to_string().as_bytes())
}

#[test]
fn schemas_that_are_hostile() {
    // A large enumeration.
    let huge: Vec<String> = (0..100_000).map(|n| format!("value{n}")).collect();
    let import = with_body(json!({"type": "string", "enum": huge}), json!({}));
    assert_eq!(definition(&import.tools[0])["inputSchema"]["properties"]["body"]["type"], "string");
    assert_eq!(import.notes[0].kind, NoteKind::Widened(Widened::Value));

    // Nested as deep as a document may be.
    let mut deep = json!({"type": "string"});
    for _ in 0..25 {
        deep = json!({"properties": {"x": deep}});
    }
    let import = with_body(deep, json!({}));
    assert_eq!(import.notes[0].kind, NoteKind::Widened(Widened::Depth));

    // Each of these schemas refers to all others.
    let names: Vec<String> = (0..300).map(|n| format!("S{n}")).collect();
    let all: Value = names.iter().map(|n| (n.clone(), json!({"$ref": format!("#/components/schemas/{n}")}))).collect();
    let schemas: Value = names.iter().map(|n| (n.clone(), json!({"properties": all}))).collect();
    let import = with_body(json!({"$ref": "#/components/schemas/S0"}), schemas);
    assert_eq!(import.notes[0].kind, NoteKind::Widened(Widened::Size));
    assert!(import.tools[0].definition().len() < Limits::DEFAULT.definition_bytes);

    // Larger than a definition may be, whatever is widened.
    let members: Value =
        (0..20_000).map(|n| (format!("member{n}"), json!({}))).collect::<serde_json::Map<_, _>>().into();
    let import = with_body(json!({"properties": members}), json!({}));
    assert_eq!(import.left_out[0].reason, Reason::TooLarge);

    // What refers elsewhere, changes addresses or is no schema admits anything.
    for schema in [
        json!({"$ref": "https://example.com/schema.json"}),
        json!({"$ref": "#/components/schemas/None"}),
        json!({"$dynamicRef": "#x", "type": "string"}),
        json!({"$id": "https://example.com/", "type": "string"}),
        json!(7),
    ] {
        let import = with_body(json!({"properties": {"x": schema}}), json!({}));
        assert_eq!(
            definition(&import.tools[0])["inputSchema"]["properties"]["body"]["properties"]["x"],
            json!({}),
            "{schema}"
        );
        assert_eq!(import.notes.len(), 1);
    }
    // What applies itself to the same value without end, or nearly so.
    for schemas in [
        json!({"A": {"allOf": [{"$ref": "#/components/schemas/A"}], "type": "object"}}),
        json!({"A": {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/B"}]}, "B": {"not": {"$ref": "#/components/schemas/A"}}}),
        json!({"A": {"$ref": "#/components/schemas/A"}}),
        (0..100_usize)
            .map(|n| {
                let name = if n == 0 { "A".to_owned() } else { format!("A{n}") };
                (name, json!({"$ref": format!("#/components/schemas/A{}", n + 1)}))
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
    ] {
        let import = with_body(json!({"properties": {"x": {"$ref": "#/components/schemas/A"}}}), schemas);
        assert_eq!(definition(&import.tools[0])["inputSchema"]["properties"]["body"]["properties"]["x"], json!({}));
        assert_eq!(import.notes[0].kind, NoteKind::Widened(Widened::Reference));
    }
    // A part that was widened does not stand where it would refuse more.
    let not = json!({"not": {"unevaluatedProperties": false}, "maxLength": 3});
    let import = with_body(not, json!({}));
    let body = &definition(&import.tools[0])["inputSchema"]["properties"]["body"];
    assert_eq!(*body, json!({"description": "The request body.", "maxLength": 3}));
    let not = with_body(json!({"not": {"type": "string"}}), json!({}));
    assert_eq!(definition(&not.tools[0])["inputSchema"]["properties"]["body"]["not"], json!({"type": "string"}));
}

#[test]
fn limits_hold() {
    let paths: Value =
        (0..50).map(|n| (format!("/p{n}"), json!({"get": {}}))).collect::<serde_json::Map<_, _>>().into();
    let text = json!({"openapi": "3.0.0", "paths": paths}).to_string();
    let few = import(text.as_bytes(), &Limits { tools: 10, ..Limits::DEFAULT }).unwrap();
    assert_eq!((few.tools.len(), few.left_out.len()), (10, 40));
    assert_eq!(few.left_out[0].reason, Reason::TooMany);
    let small = import(text.as_bytes(), &Limits { total_bytes: 2000, ..Limits::DEFAULT }).unwrap();
    assert!(small.tools.len() < 12 && small.left_out[0].reason == Reason::Exhausted);
    for work in 0..2000 {
        // Whatever is read is read whole.
        if let Ok(import) = import(text.as_bytes(), &Limits { work, ..Limits::DEFAULT }) {
            for tool in &import.tools {
                assert!(tool.definition().ends_with(b"}}}"), "{work}");
            }
            assert_eq!(import.tools.len() + import.left_out.len(), 50, "{work}");
        }
    }
}

#[test]
fn many_references_to_a_large_place_take_no_long() {
    // 2000 operations, each referring to 20 of 20000 schemas.
    let schemas: Value =
        (0..20_000).map(|n| (format!("S{n}"), json!({"type": "string"}))).collect::<serde_json::Map<_, _>>().into();
    let parameter = |n: usize| json!({"name": format!("p{n}"), "in": "query", "schema": {"$ref": format!("#/components/schemas/S{}", 19_999 - n)}});
    let parameters: Vec<Value> = (0..20).map(parameter).collect();
    let paths = (0..2000).map(|n| (format!("/p{n}"), json!({"get": {"parameters": parameters}})));
    let paths: Value = paths.collect::<serde_json::Map<_, _>>().into();
    let text = json!({"openapi": "3.1.0", "paths": paths, "components": {"schemas": schemas}}).to_string();
    let import = import(text.as_bytes(), &Limits::DEFAULT).unwrap();
    assert_eq!(import.tools.len(), 2000);
}

#[test]
fn yaml_is_the_same_description() {
    let yaml = r#"
openapi: 3.0.3
x-line: &line {type: string, maxLength: 5}
paths:
  /notes/{id}:
    post:
      operationId: addNote
      description: |
        Adds a note.
        Twice is two.
      parameters:
        - {name: id, in: path, required: true, schema: {type: integer, maximum: 12345678901234567890}}
      requestBody:
        content:
          application/json:
            schema:
              type: object
              properties:
                first: *line
                no: {type: number, minimum: 0.5}
      responses:
        200: {description: yes}
"#;
    let definition = definition(&tool(yaml.as_bytes(), "addNote"));
    assert_eq!(definition["description"], "Adds a note.\nTwice is two.");
    assert_eq!(
        definition["inputSchema"]["properties"],
        json!({
            "id": {"type": "integer", "maximum": 12_345_678_901_234_567_890_u64},
            "body": {
                "description": "The request body.",
                "type": "object",
                "properties": {"first": {"type": "string", "maxLength": 5}, "no": {"type": "number", "minimum": 0.5}},
            },
        })
    );
    // JSON is YAML, too.
    let shifted = [b"# A comment\n", ORDERS].concat();
    assert_eq!(tool(&shifted, "createOrder").definition(), tool(ORDERS, "createOrder").definition());
}

#[test]
fn same_description_same_tools() {
    for text in [ORDERS, DEVICES] {
        let (first, second) = (tools(text), tools(text));
        let bytes =
            |import: &Import<Operation>| import.tools.iter().map(|t| t.definition().clone()).collect::<Vec<_>>();
        assert_eq!(bytes(&first), bytes(&second));
        assert_eq!(first.notes, second.notes);
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[./\\\\%2eE;?#&=+, ]{0,12}", "(\\.|%2e|%25|/|a|;){1,8}"]
}

proptest! {
    /// Whatever a path parameter holds: the segments are the template's, and what comes out decodes to what went in.
    #[test]
    fn a_value_stays_in_its_segment(text in any_text()) {
        let tool = operation("/a/{x}/b", json!([{"name": "x", "in": "path", "schema": {}}]));
        if let Ok(request) = call(&tool, &json!({"x": text}).to_string()) {
            let path = request.path_and_query;
            let segments: Vec<&str> = path.split('/').collect();
            prop_assert_eq!(segments.len(), 4);
            prop_assert_eq!((segments[1], segments[3]), ("a", "b"));
            prop_assert!(!path.contains(['?', '#', '\\', ';']));
            prop_assert_eq!(percent::decode(segments[2].as_bytes()), text.as_bytes());
            let decoded = String::from_utf8(percent::decode(&percent::decode(segments[2].as_bytes()))).unwrap_or_default();
            prop_assert!(decoded.split(['/', '\\']).all(|s| s != ".." && s != "."));
        }
    }

    /// Query pairs are the described ones, in order, and decode to what went in.
    #[test]
    fn a_value_stays_in_its_pair(a in any_text(), list in prop::collection::vec(any_text(), 1..4), reserved in any::<bool>()) {
        let tool = operation("/", json!([
            {"name": "a", "in": "query", "allowReserved": reserved, "schema": {}},
            {"name": "l", "in": "query", "allowReserved": reserved, "explode": false, "schema": {}},
        ]));
        let request = call(&tool, &json!({"a": a, "l": list}).to_string()).unwrap();
        let query = request.path_and_query.strip_prefix("/?").unwrap();
        prop_assert!(query.is_ascii() && !query.contains(['#', '+', ' ', ';']));
        let pairs: Vec<&str> = query.split('&').collect();
        prop_assert_eq!(pairs.len(), 2);
        let decoded = |text: &str| String::from_utf8(percent::decode(text.as_bytes())).unwrap();
        prop_assert_eq!(decoded(pairs[0].strip_prefix("a=").unwrap()), a);
        let found: Vec<String> = pairs[1].strip_prefix("l=").unwrap().split(',').map(decoded).collect();
        prop_assert_eq!(found, list);
    }

    /// Headers and cookies are one line, one cookie.
    #[test]
    fn a_value_stays_in_its_line(text in any_text()) {
        let tool = operation("/", json!([{"name": "X-H", "in": "header"}, {"name": "c", "in": "cookie"}]));
        if let Ok(request) = call(&tool, &json!({"X-H": text}).to_string()) {
            prop_assert!(request.headers.iter().all(|(_, value)| value.bytes().all(|b| (0x20..0x7f).contains(&b))));
            prop_assert_eq!(&request.headers[0].1, &text);
        }
        let request = call(&tool, &json!({"c": text}).to_string()).unwrap();
        let cookie = &request.headers[0].1;
        prop_assert!(!cookie.contains([';', ',', ' ', '"', '\r', '\n']));
        prop_assert_eq!(percent::decode(cookie.strip_prefix("c=").unwrap().as_bytes()), text.as_bytes());
    }

    /// A body is the argument's own bytes.
    #[test]
    fn a_body_is_not_respelled(number in "-?[1-9][0-9]{0,30}(\\.[0-9]{1,30})?(e[+-]?[0-9]{1,3})?", space in "[ \\n\\t]{0,4}") {
        let import = with_body(json!({}), json!({}));
        let body = format!("{{{space}\"n\":{space}{number}}}");
        let request = call(&import.tools[0], &format!("{{\"body\":{space}{body}{space}}}")).unwrap();
        prop_assert_eq!(request.body.as_deref(), Some(body.as_bytes()));
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(import(&bytes, &Limits::DEFAULT));
    }

    /// A description cut or changed anywhere is read or refused, and what is read makes definitions.
    #[test]
    fn damaged_descriptions_are_answered(at in any::<prop::sample::Index>(), byte in any::<u8>(), which in any::<bool>()) {
        let mut text = if which { ORDERS } else { DEVICES }.to_vec();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(import) = import(&text, &Limits::DEFAULT) {
            for tool in import.tools {
                prop_assert!(Json::parse(&tool.definition()[..], Limits::DEFINITION).is_ok());
            }
        }
    }
}
