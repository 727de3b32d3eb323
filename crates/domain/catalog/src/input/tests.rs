use super::*;
use interlock_model::json::{Json, Limits};
use proptest::prelude::*;
use serde_json::{Value, json};

fn parsed(value: &Value) -> Json<Vec<u8>> {
    Json::parse(value.to_string().into_bytes(), Limits::REQUEST).unwrap()
}

fn compiled(schema: &Value) -> InputSchema {
    InputSchema::compile(parsed(schema).root()).unwrap_or_else(|e| panic!("{schema}: {e}"))
}

fn refused(schema: &Value) -> SchemaFault {
    InputSchema::compile(parsed(schema).root()).map(drop).expect_err(&schema.to_string()).fault
}

/// What is wrong with `arguments`, as `pointer: message`.
fn verdict(schema: &Value, arguments: &str) -> Result<(), String> {
    let arguments = Json::parse(arguments, Limits::REQUEST).unwrap();
    compiled(schema).check(Some(arguments.root())).map_err(|v| v.to_string())
}

#[test]
fn what_an_agent_is_told() {
    let schema = json!({
        "type": "object",
        "properties": {
            "path": {"type": "string", "minLength": 1, "maxLength": 5},
            "lines": {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 3},
            "mode": {"enum": ["r", "w"]},
            "to": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["id"]}, {"type": "null"}]},
            "when": {"type": "string", "pattern": "^[0-9]{4}$"},
            "a/b": {"type": ["boolean", "null"]},
        },
        "required": ["path"],
        "additionalProperties": false,
    });
    for (arguments, expected) in [
        (r#"{"path":"a"}"#, None),
        (r#"{"path":"\u0061","lines":[1,2.0],"mode":"r","to":null,"when":"2026","a/b":null}"#, None),
        ("{}", Some("the arguments: must have `path`")),
        (r#"{"path":7}"#, Some("/path: must be string, is number")),
        (r#"{"path":""}"#, Some("/path: must have 1 to 5 characters")),
        (r#"{"path":"abcdef"}"#, Some("/path: must have 1 to 5 characters")),
        (r#"{"path":"a","lines":[1,0]}"#, Some("/lines/1: must be at least 1")),
        (r#"{"path":"a","lines":[1,1.5]}"#, Some("/lines/1: must be integer, is number")),
        (r#"{"path":"a","lines":[1,1,1,1]}"#, Some("/lines: must have at most 3 elements")),
        (r#"{"path":"a","mode":"x"}"#, Some("/mode: must be one of: r, w")),
        (r#"{"path":"a","to":7}"#, Some("/to: fits none of the alternatives that the schema allows")),
        (r#"{"path":"a","when":"x"}"#, Some("/when: does not fit the schema's `pattern`")),
        (r#"{"path":"a","a/b":1}"#, Some("/a~1b: must be null or boolean, is number")),
        (
            r#"{"path":"a","x\u202ey":1}"#,
            Some("/x<U+202E>y: is not expected here; the schema has: a/b, lines, mode, path, to, when"),
        ),
        ("[]", Some("the arguments: must be an object")),
        ("null", Some("the arguments: must be an object")),
    ] {
        assert_eq!(verdict(&schema, arguments).err().as_deref(), expected, "{arguments}");
    }
}

#[test]
fn absent_arguments_are_an_empty_object() {
    assert_eq!(compiled(&json!({"type": "object"})).check(None), Ok(()));
    assert_eq!(compiled(&json!({})).check(None), Ok(()));
    let none = compiled(&json!({"type": "object", "properties": {}, "additionalProperties": false}));
    assert_eq!(none.check(None), Ok(()));
    let needs = compiled(&json!({"type": "object", "required": ["a"]}));
    assert_eq!(needs.check(None).unwrap_err().message, "must have `a`");
}

#[test]
fn what_a_call_does_not_need_may_be_null() {
    let schema = json!({
        "properties": {"a": {"type": "string"}, "b": {"type": "object", "properties": {"c": {"type": "string"}}}},
        "required": ["b"],
        "additionalProperties": {"type": "string"}
    });
    for (arguments, fits) in [
        (r#"{"a":null,"b":{}}"#, true),
        (r#"{"a":1,"b":{}}"#, false),
        (r#"{"b":null}"#, false),
        (r#"{"b":{"c":null}}"#, false),
        (r#"{"b":{},"d":null}"#, false),
    ] {
        assert_eq!(verdict(&schema, arguments).is_ok(), fits, "{arguments}");
    }
}

#[test]
fn values_are_compared_by_meaning() {
    let one = |schema: Value, value: &str| {
        verdict(&json!({"properties": {"x": schema}, "required": ["x"]}), &format!("{{\"x\":{value}}}")).is_ok()
    };
    for (schema, value, fits) in [
        (json!({"const": 1}), "1.0", true),
        (json!({"const": 1}), "10e-1", true),
        (json!({"const": 1}), "true", false),
        (json!({"enum": [{"a": [1, null]}]}), r#"{"a":[1.0,null]}"#, true),
        (json!({"enum": [{"a": 1, "b": 2}]}), r#"{"b":2,"a":1}"#, true),
        (json!({"enum": [{"a": 1}]}), r#"{"a":1,"b":2}"#, false),
        (json!({"enum": ["\u{e9}"]}), r#""\u00e9""#, true),
        (json!({"type": "integer"}), "1e3", true),
        (json!({"type": "integer"}), "1e-3", false),
        (json!({"type": "integer"}), "123456789012345678901234567890", true),
        (json!({"type": "integer"}), "1e999", false),
        // Beyond what a double tells apart.
        (json!({"maximum": 9_007_199_254_740_992_i64}), "9007199254740993", false),
        (json!({"exclusiveMinimum": 9_007_199_254_740_992_i64}), "9007199254740993", true),
        (json!({"minimum": 0.5}), "0", false),
        (json!({"minimum": -0.5}), "0", true),
        (json!({"maxLength": 1}), r#""\ud83d\ude00""#, true),
        (json!({"maxLength": 1}), "\"\u{1f600}\"", true),
        (json!({"maxLength": 1}), r#""\n""#, true),
        (json!({"minLength": 2}), r#""\u00e9""#, false),
        (json!({"type": "string", "nullable": true}), "null", true),
        (json!({"type": "string", "nullable": false}), "null", false),
        (json!({"type": "string", "format": "date"}), r#""2026-13-01""#, false),
        (json!({"type": "string", "format": "date"}), r#""2026-11-20""#, true),
        (json!({"type": "string", "format": "made-up"}), r#""x""#, true),
        (json!({"multipleOf": 0.1}), "0.3", true),
        (json!({"uniqueItems": true}), "[1,1.0]", false),
        (json!(false), "1", false),
        (json!(true), "1", true),
    ] {
        assert_eq!(one(schema.clone(), value), fits, "{schema} {value}");
    }
}

#[test]
fn schemas_that_are_refused() {
    for (schema, fault) in [
        (json!({"type": "string"}), SchemaFault::NotAnObject),
        (json!({"$ref": "https://example.com/schema"}), SchemaFault::External),
        (json!({"properties": {"x": {"$ref": "other.json#/a"}}}), SchemaFault::External),
        (json!({"$ref": "#/$defs/none"}), SchemaFault::Dangling),
        (json!({"$ref": "#"}), SchemaFault::Endless),
        (json!({"anyOf": [{"type": "object"}, {"not": {"$ref": "#"}}]}), SchemaFault::Endless),
        (json!({"$schema": "https://example.com/dialect"}), SchemaFault::Dialect),
        (json!({"properties": {"x": {"$dynamicRef": "#a"}}}), SchemaFault::Unsupported("$dynamicRef")),
        (json!({"properties": {"x": {"$id": "https://example.com/x"}}}), SchemaFault::Unsupported("$id")),
        (json!({"properties": {"x": 3}}), SchemaFault::Form),
        (json!({"properties": {"x": {"pattern": "("}}}), SchemaFault::Value("pattern")),
        (json!({"required": "x"}), SchemaFault::Keyword { keyword: "required", expected: "a list of names" }),
        (
            json!({"properties": {"x": {"type": "any"}}}),
            SchemaFault::Keyword { keyword: "type", expected: "a JSON Schema type or a list of them" },
        ),
    ] {
        assert_eq!(refused(&schema), fault, "{schema}");
    }
    let error = InputSchema::compile(parsed(&json!({"properties": {"a/b": {"items": 1}}})).root()).unwrap_err();
    assert_eq!(error.to_string(), "/properties/a~1b/items: a schema must be an object or a boolean");
}

#[test]
fn recursion_into_parts_is_fine() {
    let tree = json!({
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/node"}},
        "$defs": {"node": {
            "type": "object",
            "properties": {"left": {"$ref": "#/$defs/node"}, "right": {"$ref": "#/$defs/node"}},
            "additionalProperties": false,
        }},
    });
    assert_eq!(verdict(&tree, r#"{"tree":{"left":{"right":{}}}}"#), Ok(()));
    assert!(verdict(&tree, r#"{"tree":{"left":{"middle":{}}}}"#).unwrap_err().starts_with("/tree/left/middle:"));
}

/// Two ways through every level: without a budget, 2^60 visits for a text of 200 bytes.
#[test]
fn invariant_3_a_schema_that_explodes_is_cut_short_and_refuses() {
    let bomb = |inner: Value| {
        json!({
            "properties": {"x": {"$ref": "#/$defs/n"}},
            "$defs": {"n": {"anyOf": [
                {"type": "array", "items": {"$ref": "#/$defs/n"}, "minItems": 2},
                {"type": "array", "items": {"$ref": "#/$defs/n"}, "minItems": 2},
                inner,
            ]}},
        })
    };
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(60), "]".repeat(60));
    let said = verdict(&bomb(json!({"const": 1})), &deep).unwrap_err();
    assert!(said.ends_with("takes too long to check against the schema"), "{said}");
    // Nor does giving up inside `not` become a yes.
    let mut negated = bomb(json!({"const": 1}));
    negated["properties"]["x"] = json!({"not": {"$ref": "#/$defs/n"}});
    assert!(verdict(&negated, &deep).is_err());
    let doubling: Value = (0..40)
        .map(|i| (format!("d{i}"), json!({"properties": {"a": {"$ref": format!("#/$defs/d{}", i + 1)}, "b": {"$ref": format!("#/$defs/d{}", i + 1)}}})))
        .chain([("d40".to_owned(), json!({"type": "integer"}))])
        .collect::<serde_json::Map<_, _>>()
        .into();
    let schema = json!({"$ref": "#/$defs/d0", "$defs": doubling, "unevaluatedProperties": false});
    assert_eq!(refused(&schema), SchemaFault::Endless);
}

#[test]
fn a_pattern_that_backtracks_gives_up_and_refuses() {
    let slow = json!({"properties": {"x": {"pattern": "^(?:(a|aa)(?!x))+$"}}});
    let arguments = format!("{{\"x\":\"{}!\"}}", "a".repeat(2000));
    assert!(verdict(&slow, &arguments).is_err());
    let negated = json!({"properties": {"x": {"not": {"pattern": "^(?:(a|aa)(?!x))+$"}}}});
    assert!(verdict(&negated, &arguments).is_err(), "giving up is no refusal that `not` could turn around");
}

#[test]
fn unevaluated_members_are_left_to_the_foreign_validator() {
    let schema = json!({
        "type": "object",
        "allOf": [{"properties": {"a": {"type": "string"}}}],
        "properties": {"b": true},
        "unevaluatedProperties": false,
    });
    assert_eq!(verdict(&schema, r#"{"a":"x","b":1}"#), Ok(()));
    assert!(verdict(&schema, r#"{"a":"x","c":1}"#).is_err());
}

#[test]
fn older_dialects() {
    let seven = "http://json-schema.org/draft-07/schema#";
    let four = "http://json-schema.org/draft-04/schema#";
    for (schema, arguments, fits) in [
        // Beside `$ref`, nothing counts up to draft 7.
        (
            json!({"$schema": seven, "properties": {"x": {"$ref": "#/definitions/d", "maximum": 1}}, "definitions": {"d": {}}}),
            r#"{"x":2}"#,
            true,
        ),
        (json!({"properties": {"x": {"$ref": "#/$defs/d", "maximum": 1}}, "$defs": {"d": {}}}), r#"{"x":2}"#, false),
        (
            json!({"$schema": seven, "properties": {"x": {"items": [{"type": "string"}], "additionalItems": false}}}),
            r#"{"x":["a",1]}"#,
            false,
        ),
        (json!({"$schema": seven, "dependencies": {"a": ["b"]}}), r#"{"a":1}"#, false),
        (json!({"dependentRequired": {"a": ["b"]}}), r#"{"a":1}"#, false),
        (json!({"$schema": four, "properties": {"x": {"minimum": 1, "exclusiveMinimum": true}}}), r#"{"x":1}"#, false),
    ] {
        assert_eq!(verdict(&schema, arguments).is_ok(), fits, "{schema} {arguments}");
    }
}

#[test]
fn shapes() {
    let member = |schema: Value| {
        let schema = json!({"type": "object", "properties": {"x": schema}, "additionalProperties": false,
            "$defs": {"s": {"type": "string"}, "loop": {"type": "array", "items": {"$ref": "#/$defs/loop"}}}});
        match compiled(&schema).shape() {
            Shape::Object { members, open: false } => members[0].1.clone(),
            other => panic!("{other:?}"),
        }
    };
    for (schema, shape) in [
        (json!({"type": "string"}), Shape::String),
        (json!({"type": ["string", "null"]}), Shape::String),
        (json!({"anyOf": [{"type": "string"}, {"type": "null"}]}), Shape::String),
        (json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}), Shape::Opaque),
        (json!({"$ref": "#/$defs/s"}), Shape::String),
        (json!({"allOf": [{"$ref": "#/$defs/s"}], "default": "x"}), Shape::String),
        (json!({"enum": ["a", "b"]}), Shape::String),
        (json!({"const": 3}), Shape::Integer),
        (json!({"type": "number"}), Shape::Number),
        (json!({"type": ["integer", "number"]}), Shape::Number),
        (json!({"type": "boolean"}), Shape::Bool),
        (json!({"type": "null"}), Shape::Null),
        (json!({"type": "array", "items": {"type": "integer"}}), Shape::Array(Box::new(Shape::Integer))),
        (json!({"type": "array"}), Shape::Array(Box::new(Shape::Opaque))),
        (json!({}), Shape::Opaque),
        (
            json!({"type": "object", "properties": {"b": {}, "a": {"type": "string"}}, "required": ["a"]}),
            Shape::Object {
                members: vec![("a".into(), Shape::String, true), ("b".into(), Shape::Opaque, false)],
                open: true,
            },
        ),
    ] {
        assert_eq!(member(schema.clone()), shape, "{schema}");
    }
    let mut depth = 0;
    let mut shape = member(json!({"$ref": "#/$defs/loop"}));
    while let Shape::Array(inner) = shape {
        shape = *inner;
        depth += 1;
    }
    assert!(shape == Shape::Opaque && depth < 16);
    assert_eq!(compiled(&json!({})).shape(), &Shape::Object { members: vec![], open: true });
}

fn instance() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        (-3_i64..6).prop_map(Into::into),
        (-4_i32..8).prop_map(|n| json!(f64::from(n) / 2.0)),
        Just(json!(u64::MAX)),
        "[ab\u{e9}\u{1f600}\"\\\\\n]{0,4}".prop_map(Into::into),
        Just(json!("2026-11-20")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[abc]", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn keyword(inner: BoxedStrategy<Value>) -> impl Strategy<Value = (String, Value)> {
    let list = prop::collection::vec(inner.clone(), 1..3).prop_map(Value::from);
    let named =
        prop::collection::btree_map("[abc]", inner.clone(), 0..3).prop_map(|m| Value::Object(m.into_iter().collect()));
    let types = prop::sample::select(vec!["null", "boolean", "integer", "number", "string", "array", "object"]);
    let one = |names: &'static [&'static str], value: BoxedStrategy<Value>| {
        (prop::sample::select(names), value).prop_map(|(n, v)| (n.to_owned(), v)).boxed()
    };
    let counts = (0_u64..4).prop_map(Value::from).boxed();
    let bounds = prop_oneof![(-3_i64..5).prop_map(Value::from), (-4_i32..8).prop_map(|n| json!(f64::from(n) / 2.0))];
    let names = prop::collection::btree_set("[abc]", 0..3).prop_map(|s| json!(s)).boxed();
    prop_oneof![
        4 => types.clone().prop_map(|t| ("type".to_owned(), json!(t))),
        2 => prop::collection::btree_set(types, 1..4).prop_map(|t| ("type".to_owned(), json!(t))),
        4 => one(&["properties"], named.clone().boxed()),
        1 => one(&["patternProperties"], named.clone().boxed()),
        1 => one(&["dependentSchemas"], named.boxed()),
        3 => one(&["additionalProperties", "items", "not", "contains", "propertyNames", "if", "then", "else"], inner),
        2 => Just(("additionalProperties".to_owned(), json!(false))),
        3 => one(&["anyOf", "allOf", "oneOf", "prefixItems"], list.boxed()),
        3 => one(&["required"], names.clone()),
        1 => prop::collection::btree_map("[abc]", names, 0..2).prop_map(|m| ("dependentRequired".to_owned(), json!(m))),
        3 => one(&["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"], counts),
        3 => one(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"], bounds.boxed()),
        2 => prop::collection::vec(instance(), 1..4).prop_map(|v| ("enum".to_owned(), Value::from(v))),
        1 => one(&["const"], instance().boxed()),
        1 => Just(("pattern".to_owned(), json!("^a|b$"))),
        1 => Just(("format".to_owned(), json!("date"))),
        1 => Just(("uniqueItems".to_owned(), json!(true))),
        1 => Just(("multipleOf".to_owned(), json!(0.5))),
        1 => prop::sample::select(vec!["#/$defs/one", "#/$defs/two", "#/properties/x"]).prop_map(|r| ("$ref".to_owned(), json!(r))),
        1 => Just(("unevaluatedProperties".to_owned(), json!(false))),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![9 => Just(json!({})), 1 => any::<bool>().prop_map(Value::from)].boxed();
    leaf.prop_recursive(4, 48, 4, |inner| {
        prop::collection::vec(keyword(inner.boxed()), 0..4)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    })
}

fn differs(schema: &Value, arguments: &Value) -> Option<String> {
    let ours = match InputSchema::compile(parsed(schema).root()) {
        // The other validator would overflow its stack or never end.
        Err(SchemaError { fault: SchemaFault::Endless, .. }) => return None,
        ours => ours,
    };
    let theirs = jsonschema::options().offline().should_validate_formats(true).build(schema);
    match (ours, theirs) {
        (Err(_), Err(_)) => None,
        (Ok(ours), Ok(theirs)) => {
            let text = parsed(arguments);
            let said = ours.check(Some(text.root()));
            (said.is_ok() != theirs.is_valid(arguments)).then(|| format!("ours: {said:?}"))
        }
        (ours, theirs) => Some(format!("ours: {:?}, theirs: {:?}", ours.err(), theirs.err().map(|e| e.to_string()))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// The same verdict as the `jsonschema` crate, on 2020-12 and on draft 7.
    #[test]
    fn agrees_with_jsonschema(x in schema(), one in schema(), two in schema(), value in instance(), newest in any::<bool>()) {
        let defs = json!({"one": one, "two": two});
        let mut schema = json!({"type": "object", "properties": {"x": x}, "required": ["x"], "$defs": defs});
        if !newest {
            schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
        }
        let arguments = json!({"x": value});
        let differs = differs(&schema, &arguments);
        prop_assert!(differs.is_none(), "{} on {}: {}", schema, arguments, differs.unwrap_or_default());
    }

    /// Whatever text is called a schema, compiling it answers.
    #[test]
    fn any_value_is_answered(schema in instance(), arguments in instance()) {
        let text = parsed(&schema);
        if let Ok(compiled) = InputSchema::compile(text.root()) {
            drop(compiled.check(Some(parsed(&arguments).root())));
        }
    }
}
