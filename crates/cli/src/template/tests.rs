//! What templates make of a document, what is wrong with those that are none, and that none is more than refused.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn document() -> Value {
    json!({
        "ID": "0123456789ab", "Names": "web", "Image": "docker.io/probe:1.2", "Empty": "", "Nothing": null,
        "State": {"Status": "running", "Pid": 42, "Running": true, "Health": null, "ExitCode": 0},
        "Args": ["-c", "sleep 1"], "Labels": {"team": "blue", "a": "b"}, "None": [], "Share": 12.5,
        "Ports": {"80/tcp": [{"HostPort": "8080"}], "90/udp": null},
    })
}

fn made(source: &str) -> Result<String, String> {
    let document = document();
    let label = |name: &str| format!("<{name}>");
    let data = Data { value: &document, methods: &[("Label", &label)] };
    let template = Template::parse(source).map_err(|fault| fault.to_string())?;
    template.run(data, Purpose::Rows).map_err(|fault| fault.to_string())
}

/// Templates and what Go makes of them.
const GOOD: &[(&str, &str)] = &[
    ("", ""),
    ("plain } text {", "plain } text {"),
    ("{{.Names}}", "web"),
    ("{{ .ID }}\t{{.Names}}", "0123456789ab\tweb"),
    ("{{.State.Status}} {{$.State.Pid}} {{.State.Running}}", "running 42 true"),
    ("{{.State}}", "map[ExitCode:0 Health:<nil> Pid:42 Running:true Status:running]"),
    ("{{.Args}} {{.None}} {{.Nothing}} {{.Labels}}", "[-c sleep 1] [] <nil> map[a:b team:blue]"),
    ("{{json .State.Status}} {{json .Args}} {{json .Nothing}}", "\"running\" [\"-c\",\"sleep 1\"] null"),
    ("{{.Args | json}}", "[\"-c\",\"sleep 1\"]"),
    ("{{range .Args}}<{{.}}>{{end}}", "<-c><sleep 1>"),
    ("{{range $i, $x := .Args}}{{if $i}}, {{end}}{{$i}}={{$x}}{{end}}", "0=-c, 1=sleep 1"),
    ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=b;team=blue;"),
    ("{{range .None}}x{{else}}none{{end}}", "none"),
    ("{{range .Nothing}}x{{else}}none{{end}}", "none"),
    ("{{range 3}}{{.}}{{end}}", "012"),
    ("{{range .Args}}{{if eq . \"-c\"}}{{continue}}{{end}}{{.}}{{break}}{{end}}", "sleep 1"),
    ("{{with .State}}{{.Pid}}{{end}}{{with .Empty}}x{{else}}y{{end}}", "42y"),
    ("{{with $x := .State.Pid}}{{$x}}{{.}}{{end}}", "4242"),
    ("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"),
    ("{{if .Empty}}1{{else if eq .State.Pid 42}}2{{else}}3{{end}}", "2"),
    ("{{with .Empty}}1{{else with .Names}}{{.}}{{end}}", "web"),
    ("{{if and .Names (not .Empty)}}yes{{end}}", "yes"),
    ("{{and 0 .Nothing.x}} {{or .Names .Nothing.x}}", "0 web"),
    ("{{index .Args 1}} {{index .Labels \"team\"}} [{{index .Labels \"no\"}}]", "sleep 1 blue []"),
    ("{{(index (index .Ports \"80/tcp\") 0).HostPort}}", "8080"),
    ("{{.Labels.team}} {{.Labels.none}} {{if .Labels.none}}x{{end}}", "blue <no value> "),
    ("{{len .Args}} {{len .Names}} {{len .Labels}} {{len .None}}", "2 3 2 0"),
    ("{{join .Args \",\"}} {{index (split .Image \":\") 1}}", "-c,sleep 1 1.2"),
    ("{{upper .Names}} {{title \"a web-x o'b\"}} {{lower \"ABC\"}}", "WEB A Web-X O'B abc"),
    ("[{{pad .Names 1 2}}] [{{pad .Empty 1 2}}] {{truncate .ID 4}} {{truncate .Names 9}}", "[ web  ] [] 0123 web"),
    ("{{slice .ID 2 4}} {{slice .Args 1}}", "23 [sleep 1]"),
    ("{{println .Names 1 2}}{{print .Names 1 2 \"x\" \"y\"}}", "web 1 2\nweb1 2xy"),
    ("{{printf \"%s-%05d|%-5s|%5s|%q\" .Names .State.Pid .Names .Names .Names}}", "web-00042|web  |  web|\"web\""),
    ("{{printf \"%v %v %x %X %o %b %c %t %%\" .Args 7 255 255 8 5 97 true}}", "[-c sleep 1] 7 ff FF 10 101 a true %"),
    ("{{printf \"%.1f %6.2f %e %g %v %+d\" 1.25 3.14159 1500.0 0.5 .Share 5}}", "1.2   3.14 1.500000e+03 0.5 12.5 +5"),
    (
        "{{printf \"%d\" \"x\"}} {{printf \"%s\"}} {{printf \"x\" 1}} {{printf \"%\"}}",
        "%!d(string=x) %!s(MISSING) x%!(EXTRA int=1) %!(NOVERB)",
    ),
    ("{{.Names | printf \"%s:%s\" \"a\" | upper}}", "A:WEB"),
    ("{{$x := 1}}{{if true}}{{$x = 2}}{{$y := 3}}{{end}}{{$x}}", "2"),
    ("a  {{- /* a comment */ -}}  b {{- 1 -}} \n c", "ab1c"),
    ("{{/* } */}}x", "x"),
    ("{{\"a\\tb\\u00e9\\x41\"}} {{`raw \\n`}} {{'a'}} {{'\\n'}}", "a\tbéA raw \\n 97 10"),
    ("{{0x1F}} {{0b11}} {{0o17}} {{017}} {{1_000}} {{-3}} {{1.5e3}} {{1e30}}", "31 3 15 15 1000 -3 1500 1e+30"),
    (
        "{{eq 1 1.0}} {{eq .Names \"a\" \"web\"}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt \"b\" \"a\"}} {{ge 1 2}}",
        "true true true true true true false",
    ),
    ("{{.Label \"team\"}} {{\"x\" | .Label}} {{$.Label \"y\"}} {{(.Label \"z\") | upper}}", "<team> <x> <y> <Z>"),
    ("{{html \"<a&'b'>\"}} {{urlquery \"a b/c\"}}", "&lt;a&amp;&#39;b&#39;&gt; a+b%2Fc"),
    ("{{not nil}} {{len nil}}", "true 0"),
];

/// Templates that are none, or ask for what is not there.
const BAD: &[(&str, &str)] = &[
    ("{{", "1:1 <{{>: this action has no end"),
    ("{{.Names", "1:1 <{{.Names>: this action has no end"),
    ("a\n  {{.Namse}}", "2:5 <.Namse>: there is no field Namse"),
    ("{{.State.Sttus}}", "1:3 <.State.Sttus>: there is no field Sttus"),
    ("{{.Names.First}}", "1:3 <.Names.First>: a text has no field First"),
    ("{{.State.Health.Status}}", "1:3 <.State.Health.Status>: null has no field Status"),
    ("{{nothing .}}", "1:3 <nothing>: there is no function nothing"),
    ("{{}}", "1:1 <{{}}>: there is no command in it"),
    ("{{if}}x{{end}}", "1:1 <{{if}}>: there is no command before it"),
    ("{{if .Names}}", "1:1 <{{if .Names}}>: this has no end"),
    ("{{end}}", "1:1 <{{end}}>: there is nothing for it to end"),
    ("{{else}}", "1:1 <{{else}}>: there is no if, with or range before it"),
    ("{{if 1}}{{else}}{{else}}{{end}}", "1:17 <{{else}}>: there is an else before it"),
    ("{{break}}", "1:1 <{{break}}>: there is no range around it"),
    ("{{define \"x\"}}{{end}}", "1:1 <{{define \"x\"}}>: define is not to be had here"),
    ("{{$x}}", "1:3 <$x>: there is no variable $x here"),
    ("{{$x = 1}}", "1:1 <{{$x = 1}}>: there is no variable $x here"),
    ("{{if $x := 1}}{{end}}{{$x}}", "1:24 <$x>: there is no variable $x here"),
    ("{{\"a}}", "1:3 <\"a}}>: this text has no end"),
    ("{{'ab'}}", "1:3 <'ab'>: is not one character"),
    ("{{(.Names}}", "1:3 <(>: nothing closes it"),
    ("{{.Names)}}", "1:9 <)>: nothing opens what this closes"),
    ("{{.Names | \"x\"}}", "1:12 <\"x\">: nothing can be piped into this"),
    ("{{1a}}", "1:3 <1a>: is no number"),
    ("{{index .Args 5}}", "1:3 <index>: there is no 5 in a length of 2"),
    ("{{eq 1 \"a\"}}", "1:3 <eq>: a number and a text cannot be compared"),
    ("{{join .Names \",\"}}", "1:3 <join>: it wants a list, and this is a text"),
    ("{{upper}}", "1:3 <upper>: upper does not take 0 values"),
    ("{{.Names \"x\"}}", "1:3 <.Names>: takes nothing"),
    ("{{.State.Label \"x\"}}", "1:3 <.State.Label>: takes nothing"),
    ("{{.Label 1}}", "1:3 <.Label>: takes one text"),
    ("{{pad .Names 99999999 0}}", "1:3 <pad>: it makes nothing wider than 1000000"),
    ("{{range .Names}}{{end}}", "1:1 <{{range .Names}}>: nothing goes through a text"),
    ("{{.Names ~}}", "1:10 <~>: a template has no '~'"),
];

#[test]
fn templates_make_what_go_makes_of_them() {
    for (source, expected) in GOOD {
        assert_eq!(made(source).as_deref(), Ok(*expected), "{source}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (source, expected) in BAD {
        assert_eq!(made(source).as_ref().map_err(String::as_str), Err(*expected), "{source}");
    }
}

#[test]
fn functions_leave_the_name_of_a_column_as_it_is() {
    let heading = json!({"Names": "NAMES", "ID": "CONTAINER ID"});
    let data = Data { value: &heading, methods: &[] };
    for (source, expected) in
        [("{{lower .Names}}", "NAMES"), ("{{truncate .ID 3}}|{{pad .ID 1 0}}", "CONTAINER ID| CONTAINER ID")]
    {
        assert_eq!(Template::parse(source).unwrap().run(data, Purpose::Heading).as_deref(), Ok(expected));
    }
}

#[test]
fn it_is_known_which_fields_are_looked_at() {
    let asks = |source: &str| Template::parse(source).unwrap().asks_for("Size");
    for source in ["{{.Size}}", "{{if .ID}}{{upper (.Size)}}{{end}}", "{{json .}}", "{{$.Size}}", "{{$x := .}}"] {
        assert!(asks(source), "{source}");
    }
    for source in ["Size", "{{.ID}}", "{{.ID.Size}}"] {
        assert!(!asks(source), "{source}");
    }
}

#[test]
fn what_lies_too_deep_is_refused() {
    let deep = format!("{}1{}", "(".repeat(3000), ")".repeat(3000));
    assert!(made(&format!("{{{{{deep}}}}}")).unwrap_err().contains("too deep"));
    assert!(made(&"{{if 1}}".repeat(3000)).unwrap_err().contains("too deep"));
    let chain = format!("{{{{if 0}}}}{}{{{{end}}}}", "{{else if 0}}".repeat(3000));
    assert!(made(&chain).unwrap_err().contains("too deep"));
}

/// Pieces of templates, in any order.
fn piece() -> impl Strategy<Value = String> {
    let known: Vec<&str> = GOOD.iter().chain(BAD).map(|(source, _)| *source).collect();
    prop_oneof![
        proptest::sample::select(known).prop_map(str::to_owned),
        proptest::sample::select(vec![
            "{{",
            "}}",
            "{{- ",
            " -}}",
            "/*",
            "*/",
            ".",
            ".Names",
            ".Args",
            "$",
            "$x",
            ":=",
            "=",
            "|",
            "(",
            ")",
            ",",
            " ",
            "if ",
            "range ",
            "with ",
            "else",
            "end",
            "printf ",
            "\"%*.*d\"",
            "index ",
            "slice ",
            "\"",
            "'",
            "`",
            "\\",
            "é",
            "-1",
            "0x",
            "9999999999999999999999",
            "eq ",
            "and ",
            "len ",
            "split ",
            "pad ",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_template_is_more_than_refused(pieces in proptest::collection::vec(piece(), 0..12)) {
        let _ = made(&pieces.concat());
    }

    #[test]
    fn no_action_is_more_than_refused(words in proptest::collection::vec(piece(), 0..8)) {
        let _ = made(&format!("{{{{{}}}}}", words.join(" ")));
    }

    #[test]
    fn text_without_braces_stays_as_it_is(text in "[^{]*") {
        prop_assert_eq!(made(&text), Ok(text));
    }
}
