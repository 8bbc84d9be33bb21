extension Jinja {
    /// A value that is written in the template.
    enum Constant: Sendable {
        case none
        case bool(Bool)
        case int(Int)
        case double(Double)
        case string(TracedString)
    }

    /// Chains of operators are flat, so that their length costs no stack.
    indirect enum Expression: Sendable {
        case constant(Constant)
        case name(String)
        case list([Expression])
        case tuple([Expression])
        case dictionary([Pair])
        case postfix(Expression, [Postfix])
        case arithmetic(Expression, [Operand<ArithmeticOperator>])
        case concatenation([Expression])
        case comparison(Expression, [Operand<ComparisonOperator>])
        case all([Expression])
        case any([Expression])
        case not(Expression)
        case negative(Expression)
        case positive(Expression)
        case conditional(Expression, then: Expression, else: Expression?)

        struct Pair: Sendable {
            var key: Expression
            var value: Expression
        }

        struct Operand<Operator: Sendable>: Sendable {
            var `operator`: Operator
            var expression: Expression
        }
    }

    enum ArithmeticOperator: String, Sendable {
        case add = "+"
        case subtract = "-"
        case multiply = "*"
        case divide = "/"
        case floorDivide = "//"
        case remainder = "%"
        case power = "**"
    }

    enum ComparisonOperator: String, Sendable {
        case equal = "=="
        case notEqual = "!="
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
        case contained = "in"
        case notContained = "not in"
    }

    /// What may stand after an expression.
    enum Postfix: Sendable {
        case attribute(String, TracedString)
        case item(Expression)
        case slice(Expression?, Expression?, Expression?)
        case call(CallArguments)
        case filter(FilterCall)
        case test(String, CallArguments, negated: Bool)
    }

    struct CallArguments: Sendable {
        var positional: [Expression] = []
        var named: [(name: String, value: Expression)] = []
        var unpacked: Expression?
        var unpackedNamed: Expression?
    }

    struct FilterCall: Sendable {
        var name: String
        var arguments: CallArguments
    }

    /// Where an assignment goes.
    indirect enum Target: Sendable {
        case name(String)
        case member(String, of: String)
        case tuple([Target])
    }

    struct Statement: Sendable {
        var line: Int
        var kind: Kind

        indirect enum Kind: Sendable {
            case text(TracedString)
            case output([Expression])
            case branches([(test: Expression, body: [Statement])], otherwise: [Statement])
            case loop(Loop)
            case set(Target, Expression)
            case setBlock(Target, filters: [FilterCall], body: [Statement])
            case macro(MacroDefinition)
            case callBlock(MacroDefinition, Expression, CallArguments)
            case filterBlock([FilterCall], body: [Statement])
            case with([(target: Target, value: Expression)], body: [Statement])
            case generation([Statement])
            case block(scoped: Bool, body: [Statement])
            case autoescape(Expression, body: [Statement])
            case leave
            case next
        }

        struct Loop: Sendable {
            var target: Target
            var sequence: Expression
            var condition: Expression?
            var isRecursive: Bool
            var body: [Statement]
            var otherwise: [Statement]
        }
    }

    struct MacroDefinition: Sendable {
        var name: String?
        var parameters: [(name: String, fallback: Expression?)]
        var body: [Statement]
        var usesCaller = false
        var catchesNamed = false
        var catchesPositional = false
    }
}
