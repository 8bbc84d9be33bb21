import Foundation
import TestSupport
import Testing

@testable import Text

/// Templates come with checkpoints from outside: whatever one tries must end soon, in an error, with little memory.
@Suite(.serialized) struct ChatTemplateLimitTests {
    static let hostile: [String] = [
        // Loops without an end.
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{% set n = namespace(x=0) %}{% for a in range(99999) recursive %}{{ loop(range(99999)) }}{% endfor %}",
        "{{ range(1000000000) | list }}", "{{ range(10**18) | length }}",
        "{% for a in range(1000000000) %}{% endfor %}",
        "{{ range(-9223372036854775807, 9223372036854775807) | list }}",
        "{% set l = range(99999) | list %}{{ (l * 1000) | sort }}",
        // Recursion.
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{{ caller() }}{% endmacro %}{% call m() %}{% endcall %}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% macro m(x) %}{{ m(x ~ x) }}{% endmacro %}{{ m('aaaaaaaa') }}",
        "{{ " + String(repeating: "(", count: 100_000) + "1" + String(repeating: ")", count: 100_000) + " }}",
        "{{ " + String(repeating: "[", count: 5_000) + String(repeating: "]", count: 5_000) + " }}",
        "{{ " + String(repeating: "not ", count: 50_000) + "1 }}",
        "{{ " + String(repeating: "-", count: 50_000) + "1 }}",
        "{{ " + String(repeating: "1 if 1 else ", count: 10_000) + "1 }}",
        String(repeating: "{% if 1 %}", count: 10_000) + String(repeating: "{% endif %}", count: 10_000),
        // Much text and data from little.
        "{{ 'a' * 1000000000 }}", "{{ 'a' * 9223372036854775807 }}", "{{ [0] * 1000000000 }}",
        "{{ ('abc' * 1000) * 1000 * 1000 }}", "{{ (1,) * 9999999999 }}",
        "{% set n = namespace(s='aaaaaaaaaa') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
        "{% set n = namespace(l=[1]) %}{% for i in range(99) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l }}",
        "{% set n = namespace(l=[1]) %}{% for i in range(99) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l | tojson }}",
        """
        {% set a = namespace(l=[1]) %}{% set b = namespace(l=[1]) %}{% for i in range(90) %}
        {% set a.l = [a.l, a.l] %}{% set b.l = [b.l, b.l] %}{% endfor %}{{ a.l == b.l }}
        """,
        "{% set n = namespace(l=[1]) %}{% for i in range(99999) %}{% set n.l = [n.l] %}{% endfor %}",
        "{% set n = namespace(l=[1]) %}{% for i in range(9999) %}{% set n.l = n.l | map('string') %}{% endfor %}{{ n.l | list }}",
        "{{ '%1000000000d' % 1 }}", "{{ '{:1000000000}'.format(1) }}", "{{ '%.1000000000f' % 1.5 }}",
        "{{ '%*d' % (1000000000, 1) }}", "{{ 'a'.center(1000000000) }}", "{{ 'a'.zfill(1000000000) }}",
        "{{ 'a' | indent(1000000000, true) }}", "{{ [[1]] | tojson(indent=1000000000) }}",
        "{{ ('a' * 100000).replace('', 'b' * 100000) }}", "{{ ('b' * 100000).join(['a'] * 100000) }}",
        "{{ ['a' * 100000] * 10000 | join }}", "{{ (['a' * 100000] * 1000) | join }}",
        "{{ [1] | batch(10**12, 0) | list }}",
        "{{ [1] | slice(10**12) | list }}", "{{ 2 ** 9999999999 }}", "{{ 10 ** 99 }}", "{{ 9223372036854775807 + 1 }}",
        "{{ 99999999999999999999 }}", "{{ 1e999 * 0 }}{{ 2.0 ** 99999 }}",
        "{% set s = 'a' * 300000 %}{% for i in range(99999) %}{% if (s ~ 'b') in (s ~ 'c') %}{% endif %}{% endfor %}",
        "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
        // Ways out of the sandbox.
        "{{ ''.__class__ }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ ''['__class__'] }}",
        "{{ '' | attr('__class__') }}", "{{ [].__class__.__base__ }}", "{{ {}.__init__.__globals__ }}",
        "{{ '{0.__class__.__mro__}'.format('') }}", "{{ range.__self__ }}", "{{ raise_exception.__globals__['os'] }}",
        "{{ namespace.__init__.__globals__ }}", "{{ messages.append(1) }}", "{{ messages.clear() }}",
        "{{ messages[0].update({}) }}", "{{ messages[0].pop('role') }}", "{{ [1].sort() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}", "{{ self.__init__.__globals__ }}",
        "{{ lipsum.__globals__['os'] }}", "{{ messages | map(attribute='__class__') | list }}",
        "{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{% from 'os' import path %}", "{% extends 'x' %}",
        "{% do messages.append(1) %}", "{{ ''.format.__globals__ }}",
    ]

    static let context: TemplateDictionary = [
        "messages": [["role": "user", "content": .data("hi", 0)]], "bos_token": "<s>",
    ]

    @Test(arguments: hostile.map(Abbreviated.init)) func endsSoonInAnError(source: Abbreviated) {
        let start = ProcessTime.threadSeconds
        #expect(throws: ChatTemplateError.self) { try ChatTemplate(source.text).render(Self.context) }
        // The processor's time, since other tests may run beside this one.
        #expect(ProcessTime.threadSeconds - start < 0.2)
    }

    /// Macros know their scopes and scopes their macros: such circles must be cut when a rendering ends.
    @Test(arguments: [
        "{% macro m() %}{{ m }}{% endmacro %}{% set ns = namespace(m=m) %}{% set ns.self = ns %}{{ ns.m() }}",
        "{% for x in messages %}{% macro m() %}{{ x }}{% endmacro %}{% set keep = m %}{% set l = loop %}{{ l }}{% endfor %}",
        "{% set g = messages | map(attribute='role') %}{% set h = g | map('upper') %}{% set n = namespace(h=h) %}",
        "{% macro m() %}{% set ns.c = caller %}{% endmacro %}{% set ns = namespace() %}{% call m() %}{% endcall %}",
        "{% set c = cycler(messages) %}{% set f = c.next %}{% set j = joiner() %}{% set u = ''.upper %}",
        "{% macro m() %}{% endmacro %}{{ raise_exception(m) }}",
    ])
    func leavesNothingBehind(source: String) throws {
        weak var scope: Jinja.Scope?
        weak var left: Jinja.Renderer?
        do {
            var size = 0
            let messages = try Jinja.value(["messages": [["role": "user"]]], size: &size)
            guard case .dictionary(let context) = messages else { return }
            let variables = Dictionary(uniqueKeysWithValues: zip(["messages"], context.values))
            let renderer = Jinja.Renderer(context: variables, size: size, limits: .default, clock: TemplateClock())
            (scope, left) = (renderer.top, renderer)
            _ = try? renderer.render(try Jinja.Parser.parse(source))
        }
        #expect(scope == nil)
        #expect(left == nil)
    }

    @Test func obeysItsLimits() throws {
        let loop = try ChatTemplate("{% for i in range(1000) %}ab{% endfor %}")
        #expect(try loop.render([:]).string.count == 2000)
        for limits in [
            TemplateLimits(steps: 100), TemplateLimits(depth: 1), TemplateLimits(output: 1999),
            TemplateLimits(allocation: 1000), TemplateLimits(seconds: 0),
        ] {
            let error = #expect(throws: ChatTemplateError.self) { try loop.render([:], limits: limits) }
            #expect(error?.kind == .limit)
        }
    }

    @Test func letsLongConversationsThrough() throws {
        let template = try ChatTemplate(
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content | trim + '<|im_end|>\n' }}{% endfor %}"
        )
        let text = String(repeating: "word ", count: 2000)
        let messages = (0..<1000).map { TemplateValue.dictionary(["role": "user", "content": .data(text, $0)]) }
        let rendered = try template.render(["messages": .list(messages)])
        #expect(rendered.text.runs.count == 2001)
        #expect(rendered.string.utf8.count > 9_000_000)
    }

    @Test func namesTheLine() throws {
        func error(_ source: String) -> ChatTemplateError? {
            #expect(throws: ChatTemplateError.self) { try ChatTemplate(source, name: "t").render(Self.context) }
        }
        #expect(error("a\nb\n{{ 1 + }}")?.line == 3)
        #expect(error("a\n\n{{ undefined_thing.x }}")?.description == "t:3: 'undefined_thing' is undefined")
        #expect(error("{% for m in messages %}\n  {{ raise_exception('no ' ~ m.role) }}\n{% endfor %}")?.line == 2)
        #expect(error("{{ raise_exception('no') }}")?.kind == .raised)
        #expect(error("x\n{{ 'a' + 1 }}")?.kind == .type)
        #expect(error("{{ [].append(1) }}")?.kind == .security)
        #expect(error("{% if %}")?.kind == .syntax)
        #expect(error("\n{% if x %}")?.line == 2)
    }
}
