use super::*;
use crate::{CallError, HttpRequest, HttpResponse, ResultLimits};
use interlock_model::json;
use proptest::prelude::*;
use serde_json::{Value, json};

fn named(name: &str) -> Value {
    json!({"kind": "X", "name": name})
}

fn non_null(of: Value) -> Value {
    json!({"kind": "NON_NULL", "name": null, "ofType": of})
}

fn list(of: Value) -> Value {
    json!({"kind": "LIST", "name": null, "ofType": of})
}

fn argument(name: &str, of: Value) -> Value {
    json!({"name": name, "type": of, "defaultValue": null})
}

fn field(name: &str, args: Value, of: Value) -> Value {
    json!({"name": name, "args": args, "type": of, "isDeprecated": false})
}

fn object(name: &str, fields: Value) -> Value {
    json!({"kind": "OBJECT", "name": name, "fields": fields})
}

/// A small shop.
fn shop() -> Value {
    json!({"data": {"__schema": {
        "queryType": {"name": "Query"},
        "mutationType": {"name": "Mutation"},
        "subscriptionType": {"name": "Subscription"},
        "types": [
            object("Query", json!([
                field("article", json!([argument("id", non_null(named("ID")))]), named("Article")),
                {"name": "articles", "description": "Pages through the articles.", "args": [
                    {"name": "first", "type": non_null(named("Int")), "defaultValue": "10", "description": "How many."},
                    argument("filter", named("Filter")),
                    argument("sort", list(non_null(named("Sort")))),
                ], "type": non_null(named("ArticlePage"))},
                field("search", json!([argument("text", named("String")), argument("select", named("Any"))]), list(named("Hit"))),
                field("count", json!([]), non_null(named("Int"))),
                field("__hidden", json!([]), named("Int")),
                field("bad name", json!([]), named("Int")),
                field("lost", json!([]), named("Missing")),
                field("odd", json!([argument("x", named("Article"))]), named("Int")),
            ])),
            object("Mutation", json!([field("deleteArticle", json!([argument("id", non_null(named("ID")))]), named("Boolean"))])),
            object("Subscription", json!([field("sold", json!([]), named("Article"))])),
            object("Article", json!([
                field("id", json!([]), non_null(named("ID"))),
                field("name", json!([argument("language", named("String"))]), named("String")),
                field("price", json!([argument("currency", non_null(named("String")))]), named("Float")),
                {"name": "sku", "args": [], "type": named("String"), "isDeprecated": true},
                field("maker", json!([]), named("Maker")),
                field("related", json!([argument("first", named("Int"))]), list(named("Article"))),
                field("self", json!([]), named("Article")),
            ])),
            object("Maker", json!([field("name", json!([]), named("String")), field("articles", json!([]), list(named("Article")))])),
            object("ArticlePage", json!([field("edges", json!([]), list(named("ArticleEdge"))), field("total", json!([]), named("Int"))])),
            object("ArticleEdge", json!([field("cursor", json!([]), named("String")), field("node", json!([]), named("Article"))])),
            {"kind": "UNION", "name": "Hit", "possibleTypes": [named("Article"), named("Maker")]},
            {"kind": "INPUT_OBJECT", "name": "Filter", "inputFields": [
                argument("name", named("String")),
                argument("and", list(non_null(named("Filter")))),
                argument("after", non_null(named("Date"))),
            ]},
            {"kind": "ENUM", "name": "Sort", "enumValues": [{"name": "NAME"}, {"name": "PRICE"}, {"name": "true"}]},
            {"kind": "SCALAR", "name": "Date"}, {"kind": "SCALAR", "name": "Any"},
            {"kind": "SCALAR", "name": "ID"}, {"kind": "SCALAR", "name": "Int"}, {"kind": "SCALAR", "name": "Float"},
            {"kind": "SCALAR", "name": "String"}, {"kind": "SCALAR", "name": "Boolean"},
        ],
    }}})
}

fn tools(schema: &Value) -> Import<Field> {
    import(schema.to_string().as_bytes(), DEFAULT_LEVELS, &Limits::DEFAULT).unwrap()
}

fn tool(name: &str) -> Field {
    tools(&shop()).tools.iter().find(|t| t.name() == name).unwrap().clone()
}

fn definition(tool: &Field) -> Value {
    serde_json::from_slice(tool.definition()).unwrap()
}

fn call(tool: &Field, arguments: &str) -> Result<HttpRequest, CallError> {
    let arguments = Json::parse(arguments.as_bytes(), json::Limits::REQUEST).unwrap();
    tool.request(Some(arguments.root()))
}

fn document(tool: &Field, arguments: &str) -> Result<String, String> {
    let request = call(tool, arguments).map_err(|e| e.to_string())?;
    let body: Value = serde_json::from_slice(&request.body.unwrap()).unwrap();
    Ok(body["query"].as_str().unwrap().to_owned())
}

#[test]
fn fields_are_tools() {
    let import = tools(&shop());
    let names: Vec<&str> = import.tools.iter().map(Field::name).collect();
    assert_eq!(names, ["query_article", "query_articles", "query_search", "query_count", "mutation_deleteArticle"]);
    let left_out: Vec<String> = import.left_out.iter().map(|l| format!("{}: {}", l.what, l.reason)).collect();
    assert_eq!(
        left_out,
        [
            "Query.__hidden: not a name that a field or argument can have",
            "Query.bad name: not a name that a field or argument can have",
            "query.lost: a type is missing in the schema or cannot stand there",
            "query.odd: a type is missing in the schema or cannot stand there",
            "subscription.sold: subscriptions are not tools",
        ]
    );
    for (name, read_only) in [("query_article", true), ("mutation_deleteArticle", false)] {
        let expected = json!({"readOnlyHint": read_only, "destructiveHint": !read_only, "idempotentHint": read_only, "openWorldHint": true});
        assert_eq!(definition(&tool(name))["annotations"], expected);
    }
    // Without `data` around it, the same.
    let bare = tools(&shop()["data"]);
    assert_eq!(bare.tools[1].definition(), import.tools[1].definition());
}

#[test]
fn arguments_are_described() {
    let definition = definition(&tool("query_articles"));
    assert_eq!(definition["description"], "Pages through the articles.");
    let schema = &definition["inputSchema"];
    let properties = &schema["properties"];
    assert_eq!(
        properties["first"],
        json!({"description": "How many.", "minimum": -2_147_483_648_i64, "maximum": 2_147_483_647, "type": "integer"})
    );
    assert_eq!(properties["filter"], json!({"anyOf": [{"$ref": "#/$defs/Filter"}, {"type": "null"}]}));
    assert_eq!(properties["sort"], json!({"type": ["array", "null"], "items": {"$ref": "#/$defs/Sort"}}));
    assert_eq!(properties["select"]["type"], "string");
    assert_eq!(schema.get("required"), None);
    assert_eq!(schema["additionalProperties"], json!(false));
    assert_eq!(
        schema["$defs"],
        json!({
            "Filter": {
                "type": "object",
                "properties": {
                    "name": {"type": ["string", "null"]},
                    "and": {"type": ["array", "null"], "items": {"$ref": "#/$defs/Filter"}},
                    "after": {},
                },
                "required": ["after"],
                "additionalProperties": false,
            },
            "Sort": {"type": "string", "enum": ["NAME", "PRICE"]},
        })
    );
    let article = &self::definition(&tool("query_article"))["inputSchema"];
    assert_eq!(article["properties"]["id"], json!({"type": "string"}));
    assert_eq!(article["required"], json!(["id"]));
    // An argument of the field's own keeps its name.
    let search = &self::definition(&tool("query_search"))["inputSchema"]["properties"];
    assert_eq!(search["select"], json!({}));
    assert_eq!(search["select_2"]["type"], "string");
}

#[test]
fn documents() {
    for (name, expected) in [
        (
            "query_articles",
            "query query_articles($first: Int, $filter: Filter, $sort: [Sort!]) { articles(first: $first, filter: $filter, \
             sort: $sort) { edges { cursor node { id name } } total } }",
        ),
        (
            "query_search",
            "query query_search($text: String, $select: Any) { search(text: $text, select: $select) \
             { ... on Article { id name } ... on Maker { name } __typename } }",
        ),
        ("query_count", "query query_count { count }"),
    ] {
        let tool = tool(name);
        assert_eq!(document(&tool, "{}").unwrap(), expected);
        assert_eq!(definition(&tool)["_meta"]["interlock/graphql"]["document"], expected);
    }
    let article = document(&tool("query_article"), r#"{"id":1}"#).unwrap();
    // Levels end what refers to itself; arguments that may be absent are.
    let inner = "{ id name maker { name articles { id name } } self { id name maker { name } self { id name } } }";
    assert_eq!(article, format!("query query_article($id: ID!) {{ article(id: $id) {inner} }}"));
}

#[test]
fn variables_are_the_arguments_bytes() {
    let request = call(
        &tool("query_articles"),
        r#"{"filter": { "after":"2026-01-01" , "name":null}, "first":1.0e1, "select":"total"}"#,
    )
    .unwrap();
    let body = String::from_utf8(request.body.unwrap().to_vec()).unwrap();
    assert!(body.ends_with(
        r#","operationName":"query_articles","variables":{"first":1.0e1,"filter":{ "after":"2026-01-01" , "name":null}}}"#
    ));
    assert_eq!((request.method, request.path_and_query.as_str()), (crate::Method::Post, ""));
    assert_eq!(request.content_type.as_deref(), Some("application/json"));
    let refused = |arguments: &str| call(&tool("query_article"), arguments).unwrap_err().to_string();
    assert_eq!(refused("{}"), "the argument `id` is required");
    assert_eq!(refused(r#"{"id":1,"x":2}"#), "the tool has no argument `x`");
    assert_eq!(
        refused(r#"{"id":1,"select":["id"]}"#),
        "the argument `select` cannot be sent: a string that is not text"
    );
    // No fields to select from.
    assert_eq!(
        call(&tool("query_count"), r#"{"select":"x"}"#).unwrap_err().to_string(),
        "the tool has no argument `select`"
    );
}

#[test]
fn selections() {
    let article = tool("query_article");
    let selected = |select: &str| {
        let found = document(&article, &json!({"id": 1, "select": select}).to_string())?;
        let found = found.strip_prefix("query query_article($id: ID!) { article(id: $id) ").unwrap();
        Ok::<_, String>(found.strip_suffix(" }").unwrap().to_owned())
    };
    for (select, expected) in [
        ("id", "{ id }"),
        ("{ id, name }", "{ id name }"),
        ("id maker{name}", "{ id maker { name } }"),
        ("\n{id\t maker {\nname articles { id }}}", "{ id maker { name articles { id } } }"),
        ("__typename sku", "{ __typename sku }"),
        ("... on Article { id }", "{ ... on Article { id } }"),
        ("related { id }", "{ related { id } }"),
    ] {
        assert_eq!(selected(select).as_deref(), Ok(expected), "{select:?}");
    }
    for (select, expected) in [
        ("", "at byte 0: unbalanced or empty braces"),
        ("{}", "at byte 1: unbalanced or empty braces"),
        ("{ id", "at byte 4: unbalanced or empty braces"),
        ("id }", "at byte 3: unbalanced or empty braces"),
        ("{ id } }", "at byte 7: unbalanced or empty braces"),
        ("{ id } maker { name }", "at byte 7: unbalanced or empty braces"),
        ("id } mutation { deleteArticle }", "at byte 3: unbalanced or empty braces"),
        ("maker { }", "at byte 8: unbalanced or empty braces"),
        ("{ { id } }", "at byte 2: unbalanced or empty braces"),
        ("nothing", "at byte 0: no such field"),
        ("__schema", "at byte 0: no such field"),
        ("deleteArticle", "at byte 0: no such field"),
        ("maker", "at byte 0: the fields of this object must be selected in braces"),
        ("id { x }", "at byte 0: this field has no fields"),
        ("__typename { x }", "at byte 0: this field has no fields"),
        ("price", "at byte 0: the field needs arguments"),
        ("name(language: \"x\")", "at byte 4: only field names, braces and `... on Type` are accepted"),
        ("alias: id", "at byte 5: only field names, braces and `... on Type` are accepted"),
        ("id @include(if: true)", "at byte 3: only field names, braces and `... on Type` are accepted"),
        ("id # comment", "at byte 3: only field names, braces and `... on Type` are accepted"),
        ("$id", "at byte 0: only field names, braces and `... on Type` are accepted"),
        ("\"\"\"x\"\"\"", "at byte 0: only field names, braces and `... on Type` are accepted"),
        ("1d", "at byte 0: only field names, braces and `... on Type` are accepted"),
        ("ｉd", "at byte 0: only field names, braces and `... on Type` are accepted"),
        ("...fragment", "at byte 0: only field names, braces and `... on Type` are accepted"),
        ("... { id }", "at byte 0: only field names, braces and `... on Type` are accepted"),
        ("... on Maker { name }", "at byte 7: the result cannot be of this type here"),
        ("... on Filter { name }", "at byte 7: the result cannot be of this type here"),
        ("... on Article", "at byte 7: unbalanced or empty braces"),
        ("self { self { self { id } } }", "at byte 14: nested deeper than this tool reads"),
    ] {
        assert_eq!(selected(select), Err(format!("the selection is refused {expected}")), "{select:?}");
    }
    assert!(selected(&"id ".repeat(201)).unwrap_err().ends_with("too long"));
    assert!(selected(&"x".repeat(9000)).unwrap_err().ends_with("too long"));
    assert!(selected(&"... on Article { ".repeat(300)).unwrap_err().ends_with("too long"));
    // A union: only through its types.
    let search = tool("query_search");
    assert!(document(&search, r#"{"select_2":"... on Maker { name } __typename"}"#).is_ok());
    assert!(document(&search, r#"{"select_2":"name"}"#).is_err());
}

#[test]
fn levels_bound_what_is_read() {
    let text = shop().to_string();
    for (levels, expected) in [(0, "{ total }"), (1, "{ edges { cursor } total }"), (99, "maker")] {
        let import = import(text.as_bytes(), levels, &Limits::DEFAULT).unwrap();
        let articles = import.tools.iter().find(|t| t.name() == "query_articles").unwrap();
        let found = document(articles, "{}").unwrap();
        assert!(found.contains(expected), "{found}");
        // A hundred levels, or a schema that refers to itself, do not unfold.
        assert!(found.len() < 8000);
    }
}

#[test]
fn responses() {
    let tool = tool("query_article");
    let result = |status: u16, body: &str| -> Value {
        let response = HttpResponse { status, content_type: Some("application/json"), body: body.as_bytes() };
        serde_json::from_slice(&tool.result(&response, &ResultLimits::DEFAULT)).unwrap()
    };
    let ok = r#"{"data": {"article": {"id": 1.0}}}"#;
    let found = result(200, ok);
    assert_eq!(
        found,
        json!({"content": [{"type": "text", "text": ok}], "structuredContent": {"data": {"article": {"id": 1.0}}}, "isError": false})
    );
    for (status, body, is_error) in [
        (200, r#"{"data":{"article":null}}"#, false),
        (200, r#"{"data":{"article":{}},"errors":[{"message":"partly"}]}"#, false),
        (200, r#"{"data":{"article":{}},"errors":[]}"#, false),
        (200, r#"{"data":{"article":null},"errors":[{"message":"x"}]}"#, true),
        (200, r#"{"data":null,"errors":[{"message":"x"}]}"#, true),
        (200, r#"{"errors":[{"message":"x"}]}"#, true),
        (400, r#"{"errors":[{"message":"x"}]}"#, true),
        (500, r#"{"data":{"article":{}}}"#, true),
        (200, r#"{"data":{}}"#, true),
        (200, r#"{"data":null}"#, true),
        (200, "{}", true),
        (200, "[]", true),
        (200, "<html>", true),
        (200, "", true),
        (302, "", true),
    ] {
        assert_eq!(result(status, body)["isError"], json!(is_error), "{status} {body}");
    }
    assert_eq!(result(200, "<html>")["content"][0]["text"], "HTTP status 200: not a GraphQL response\n\n<html>");
}

#[test]
fn hostile_schemas() {
    let refused = |text: &str| import(text.as_bytes(), 2, &Limits::DEFAULT).unwrap_err().to_string();
    assert_eq!(refused("{}"), "`__schema` of the description must be an object");
    assert_eq!(refused(r#"{"data":{"__schema":{}}}"#), "`types` of the description must be a list");
    assert!(refused(&"{\"a\":".repeat(1 << 20)).starts_with("nested too deep"));

    let base = |types: Value| json!({"__schema": {"queryType": {"name": "Query"}, "types": types}});
    // Names that are not: nothing of them reaches a document.
    let evil = "x) { y } mutation { z }";
    let schema = base(json!([
        object("Query", json!([
            field(evil, json!([]), named("Int")),
            field("a", json!([argument(evil, named("Int"))]), named("Int")),
            field("b", json!([argument("x", named("Int! = 1) { evil }"))]), named("Int")),
            field("c", json!([]), named("T")),
            field("d", json!([argument("x", non_null(non_null(named("Int"))))]), named("Int")),
        ])),
        {"kind": "UNION", "name": "T", "possibleTypes": [named("U } evil {")]},
        {"kind": "SCALAR", "name": "Int"},
    ]));
    let import = tools(&schema);
    let names: Vec<&str> = import.tools.iter().map(Field::name).collect();
    assert_eq!(names, ["query_c"]);
    assert_eq!(document(&import.tools[0], "{}").unwrap(), "query query_c { c { __typename } }");

    // Types that refer to each other all over, and a wide union.
    let name = |n: usize| format!("T{n}");
    let all: Vec<Value> = (0..60).map(|n| field(&format!("f{n}"), json!([]), named(&name(n)))).collect();
    let mut types: Vec<Value> = (0..60).map(|n| object(&name(n), json!(all))).collect();
    let inputs: Vec<Value> = (0..60).map(|n| argument(&format!("i{n}"), named(&format!("I{n}")))).collect();
    types.extend((0..60).map(|n| json!({"kind": "INPUT_OBJECT", "name": format!("I{n}"), "inputFields": inputs})));
    types.push(
        json!({"kind": "UNION", "name": "Wide", "possibleTypes": (0..60).map(|n| named(&name(n))).collect::<Vec<_>>()}),
    );
    types.push(object("Query", json!([field("a", json!(inputs), named("T0")), field("w", json!([]), named("Wide"))])));
    let import = tools(&base(json!(types)));
    assert_eq!(import.tools.len(), 2);
    for tool in &import.tools {
        assert!(tool.definition().len() < Limits::DEFAULT.definition_bytes);
        assert!(import.notes.iter().any(|n| n.tool == tool.name()));
    }
}

/// The same shop in schema definition language.
const SHOP: &str = r#"
"The entrance." # A comment.
schema { query: Query mutation: Mutation, subscription: Subscription }
directive @cost(weight: Int = 1) repeatable on FIELD_DEFINITION | OBJECT
type Query @cost(weight: 2) {
  article(id: ID!): Article
  """
  Pages through the articles.
  """
  articles("How many." first: Int! = 10, filter: Filter, sort: [Sort!]): ArticlePage! @cost
  search(text: String = "a\"}", select: Any): [Hit]
  __hidden: Int
  lost: Missing
}
extend type Query { count: Int!  odd(x: Article): Int }
type Mutation { deleteArticle(id: ID!): Boolean }
type Subscription { sold: Article }
interface Named { name(language: String): String }
type Article implements & Named {
  id: ID!
  name(language: String): String
  price(currency: String!): Float
  sku: String @deprecated(reason: "gone")
  maker: Maker
  related(first: Int): [Article]
  self: Article
}
type Maker { name: String  articles: [Article] }
type ArticlePage { edges: [ArticleEdge] total: Int }
type ArticleEdge { cursor: String node: Article }
union Hit = | Article | Maker
input Filter { name: String = {a: [1, {b: "}"}]} and: [Filter!] after: Date! }
enum Sort { NAME PRICE @deprecated true }
scalar Date @specifiedBy(url: "https://example.com")
scalar Any
"#;

#[test]
fn definition_language_is_the_same_schema() {
    let found = import(SHOP.as_bytes(), DEFAULT_LEVELS, &Limits::DEFAULT).unwrap();
    let expected = tools(&shop());
    let mut names: Vec<&str> = found.tools.iter().map(Field::name).collect();
    names.sort_unstable();
    let mut expected_names: Vec<&str> = expected.tools.iter().map(Field::name).collect();
    expected_names.sort_unstable();
    assert_eq!(names, expected_names);
    for tool in &found.tools {
        let other = expected.tools.iter().find(|t| t.name() == tool.name()).unwrap();
        assert_eq!(definition(tool), definition(other), "{}", tool.name());
    }
    let left_out: Vec<&str> = found.left_out.iter().map(|l| l.what.as_str()).collect();
    assert_eq!(left_out, ["Query.__hidden", "query.lost", "query.odd", "subscription.sold"]);
    // Without a schema definition, the usual names.
    let bare = import(
        b"interface N { a: Int } type Query { n: N } type T implements N { a: Int b: Int }",
        2,
        &Limits::DEFAULT,
    );
    let bare = bare.unwrap();
    assert_eq!(document(&bare.tools[0], "{}").unwrap(), "query query_n { n { a ... on T { b } __typename } }");
}

#[test]
fn same_schema_same_tools() {
    let bytes = |import: Import<Field>| import.tools.iter().map(|t| t.definition().clone()).collect::<Vec<_>>();
    assert_eq!(bytes(tools(&shop())), bytes(tools(&shop())));
}

proptest! {
    /// Whatever is selected, the document has the names of the schema, braces that match, and one operation.
    #[test]
    fn selections_are_of_the_schema(select in prop_oneof![any::<String>(), "(id|name|maker|self|sku|on|Article|\\.\\.\\.|\\{|\\}|[ ,():@$#\"]){0,24}"]) {
        let article = tool("query_article");
        let Ok(found) = document(&article, &json!({"id": 1, "select": select}).to_string()) else { return Ok(()) };
        let found = found.strip_prefix("query query_article($id: ID!) { article(id: $id) ").unwrap();
        let mut depth = 0;
        for word in found.split_ascii_whitespace() {
            match word {
                "{" => depth += 1,
                "}" => depth -= 1,
                "..." | "on" | "Article" | "id" | "name" | "maker" | "self" | "sku" | "related" | "articles" | "__typename" => {}
                other => prop_assert!(false, "{}", other),
            }
            prop_assert!(depth >= -1);
        }
        prop_assert_eq!(depth, -1);
    }

    #[test]
    fn damaged_schemas_are_answered(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = shop().to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(import) = import(&text, 2, &Limits::DEFAULT) {
            for tool in import.tools {
                prop_assert!(Json::parse(&tool.definition()[..], Limits::DEFINITION).is_ok());
            }
        }
    }

    #[test]
    fn damaged_documents_are_answered(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = SHOP.as_bytes().to_vec();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(import) = import(&text, 2, &Limits::DEFAULT) {
            for tool in import.tools {
                prop_assert!(Json::parse(&tool.definition()[..], Limits::DEFINITION).is_ok());
            }
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(import(&bytes, 2, &Limits::DEFAULT));
    }
}
