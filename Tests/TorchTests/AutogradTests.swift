import Testing
import Torch

@Suite struct AutogradTests {
    @Test func gradientsAddUp() throws {
        let x = try Tensor([1, 2, 3] as [Float])
        try x.setRequiresGradient(true)
        try (x * x).sum().backward()
        try (x * x).sum().backward()
        #expect(try x.gradient?.floats() == [4, 8, 12])
        try x.setGradient(nil)
        #expect(x.gradient == nil)
    }

    @Test func scopesNestAndRestore() throws {
        let x = try Tensor([1] as [Float])
        try x.setRequiresGradient(true)
        try withoutGradient {
            #expect(try !(x * 2).requiresGradient)
            let recorded = try withGradient { try (x * 2).requiresGradient }
            #expect(recorded)
            #expect(!isGradientEnabled)
        }
        #expect(isGradientEnabled)
    }

    @Test func gradientsForNamedInputsLeaveLeavesAlone() throws {
        let x = try Tensor([2] as [Float]), y = try Tensor([5] as [Float]), unused = try Tensor([1] as [Float])
        for leaf in [x, y, unused] { try leaf.setRequiresGradient(true) }
        let z = try x * y
        let found = try Tensor.gradients(of: [z], weightedBy: [Tensor([10] as [Float])], for: [x, unused])
        #expect(try found[0]?.floats() == [50])
        #expect(found[1] == nil)
        #expect(x.gradient == nil)
    }

    @Test func customFunctionsHaveTheirOwnBackward() throws {
        let x = try Tensor([1, 2] as [Float])
        try x.setRequiresGradient(true)
        var calls = 0
        // A square whose backward claims ten times the true gradient, to show that it is the one that runs.
        let y = try customFunction(inputs: [x]) {
            [try x * x]
        } backward: { gradients in
            calls += 1
            return [try gradients[0].map { try $0 * x * 20 }]
        }
        try (y[0] * 3).sum().backward()
        #expect(calls == 1)
        #expect(try x.gradient?.floats() == [60, 120])
    }

    @Test func checkpointingByCustomFunctionGivesTheSameGradients() throws {
        let generator = try RandomGenerator(seed: 1)
        let weight = try generator.normal([8, 8]), x = try generator.normal([4, 8])
        for leaf in [weight, x] { try leaf.setRequiresGradient(true) }
        func block(_ x: Tensor) throws -> Tensor { try x.linear(weight).silu() }
        try block(block(x)).sum().backward()
        let plain = (try #require(weight.gradient), try #require(x.gradient))
        for leaf in [weight, x] { try leaf.setGradient(nil) }

        let recomputed = try customFunction(inputs: [x, weight]) {
            [try block(block(x))]
        } backward: { gradients in
            try withGradient {
                let input = try x.detach()
                try input.setRequiresGradient(true)
                let output = try block(block(input))
                guard let given = gradients[0] else { return [nil, nil] }
                return try Tensor.gradients(of: [output], weightedBy: [given], for: [input, weight])
            }
        }
        try recomputed[0].sum().backward()
        #expect(try weight.gradient?.isEqual(to: plain.0) == true)
        #expect(try x.gradient?.isEqual(to: plain.1) == true)
    }

    @Test func aLeafsGradientArrivesBeforeThePassGoesOn() throws {
        for isLeaf in [true, false] {
            let weights = try (0..<3).map { try Tensor([Float($0 + 1)]) }
            for weight in weights { try weight.setRequiresGradient(true) }
            let order = Log()
            // Made before everything that uses them, as the leaves of a pass are.
            let taps = try weights.enumerated().map { index, weight in
                try customFunction(inputs: [weight], isLeaf: isLeaf) {
                    [weight]
                } backward: { gradients in
                    order.entries.append("weight \(index)")
                    return [gradients[0]]
                }[0]
            }
            var x = try Tensor([2] as [Float])
            for (index, tap) in taps.enumerated() {
                x = try customFunction(inputs: [x * tap]) {
                    [try x * tap]
                } backward: { gradients in
                    order.entries.append("block \(index)")
                    return [gradients[0]]
                }[0]
            }
            try x.sum().backward()
            #expect(
                order.entries
                    == (isLeaf
                        ? ["block 2", "weight 2", "block 1", "weight 1", "block 0", "weight 0"]
                        : ["block 2", "block 1", "block 0", "weight 2", "weight 1", "weight 0"]))
            #expect(try weights.map { try $0.gradient?.floats() } == [[12], [6], [4]])
        }
    }

    @Test func whatABackwardCapturesIsFreedBehindIt() throws {
        let x = try Tensor([1] as [Float])
        try x.setRequiresGradient(true)
        let later = Log()
        weak var captured: Log?
        // Goes back after the one whose capture is looked for.
        let first = try customFunction(inputs: [x]) {
            [try x * 2]
        } backward: { gradients in
            later.entries.append(captured == nil ? "freed" : "kept")
            return [gradients[0]]
        }[0]
        func make() throws -> Tensor {
            let own = Log()
            captured = own
            return try customFunction(inputs: [first]) {
                [try first * 2]
            } backward: { gradients in
                own.entries.append("ran")
                return [gradients[0]]
            }[0]
        }
        let y = try make().sum()
        #expect(captured != nil)
        try y.backward()
        #expect(later.entries == ["freed"])
        #expect(throws: TorchError.self) { try y.backward() }
    }

    private final class Log {
        var entries: [String] = []
    }

    @Test func errorsInBackwardComeBack() throws {
        struct Wrong: Error {}
        let x = try Tensor([1] as [Float])
        try x.setRequiresGradient(true)
        let y = try customFunction(inputs: [x]) {
            [try x * 2]
        } backward: { _ in
            throw Wrong()
        }
        #expect(throws: Wrong.self) { try y[0].backward() }
        // Through a block that is computed again, too.
        let again = try customFunction(inputs: [x]) {
            [try x * 2]
        } backward: { gradients in
            let inner = try withGradient {
                try customFunction(inputs: [x]) {
                    [try x * 2]
                } backward: { _ in
                    throw Wrong()
                }
            }
            return try Tensor.gradients(of: inner, weightedBy: [try #require(gradients[0])], for: [x])
        }
        #expect(throws: Wrong.self) {
            try Tensor.gradients(of: again, weightedBy: [.ones([1])], for: [x])
        }
        let z = try customFunction(inputs: [x]) {
            [try x * 2]
        } backward: { _ in
            []
        }
        #expect(#expect(throws: TorchError.self) { try z[0].backward() }?.kind == .callback)
        // Of a block that is computed again: whoever can make the pass smaller must see why it ended.
        let full = try customFunction(inputs: [x]) {
            [try x * 2]
        } backward: { _ in
            [try Tensor.zeros([1 << 46])]
        }
        #expect(#expect(throws: TorchError.self) { try full[0].backward() }?.kind == .outOfMemory)
    }

    @Test func adamWTakesTheTextbookStep() throws {
        let p = try Tensor([1] as [Float]), g = try Tensor([0.5] as [Float])
        let m = try Tensor.zeros([1]), v = try Tensor.zeros([1]), step = try Tensor.scalar(0)
        try adamW(
            parameters: [p], gradients: [g], firstMoments: [m], secondMoments: [v], steps: [step],
            options: AdamWOptions(rate: 0.1, weightDecay: 0.2))
        // First step: decay 1 - 0.1·0.2, then minus rate · sign of the gradient.
        #expect(abs(try p.item() - (0.98 - 0.1)) < 1e-6)
        #expect(try step.item() == 1)
    }
}
