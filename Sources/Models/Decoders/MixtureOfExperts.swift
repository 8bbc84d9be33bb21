public import NN
public import Torch

/// Feed-forward experts of which a router picks the best few for each token (Shazeer et al. 2017; Mixtral's layout).
///
/// No token is dropped, and an expert computes just the tokens that chose it: the cost follows the active experts,
/// however many there are.
public final class MixtureOfExperts: FeedForward {
    public struct Configuration: Sendable, Hashable {
        public var experts: Int
        /// Experts for each token.
        public var active: Int
        /// How much the balance of the experts weighs in the loss (MM1, section 3.4).
        public var balanceWeight: Double
        /// How much the size of the router's scores weighs in the loss.
        public var routerWeight: Double

        public init(experts: Int, active: Int = 2, balanceWeight: Double = 0.01, routerWeight: Double = 0.001) {
            precondition(active > 0 && active <= experts, "as many experts as each token takes")
            self.experts = experts
            self.active = active
            self.balanceWeight = balanceWeight
            self.routerWeight = routerWeight
        }
    }

    public let configuration: Configuration
    public let router: Linear
    public let experts: [any FeedForward]
    /// How ranks deal the experts out among themselves.
    fileprivate var exchange: ExpertExchange?

    /// Takes `gate.weight` and `experts.N.{w1,w2,w3}.weight` from the scope.
    public init(
        _ configuration: Configuration, hiddenSize: Int, feedForwardSize: Int, activation: Activation,
        _ scope: ParameterScope, initialization: Initialization = .normal(0.02)
    ) throws {
        self.configuration = configuration
        router = try Linear(
            hiddenSize, configuration.experts, bias: false, scope["gate"], initialization: initialization)
        experts = try (0..<configuration.experts).map { index in
            let expert = scope["experts"][index]
            func layer(_ input: Int, _ output: Int, _ name: String) throws -> Linear {
                try Linear(input, output, bias: false, expert[name], initialization: initialization)
            }
            return GatedFeedForward(
                gate: try layer(hiddenSize, feedForwardSize, "w1"), up: try layer(hiddenSize, feedForwardSize, "w3"),
                down: try layer(feedForwardSize, hiddenSize, "w2"), activation: activation)
        }
    }

    /// A mixture of parts that were built elsewhere.
    public init(_ configuration: Configuration, router: Linear, experts: [any FeedForward]) {
        precondition(experts.count == configuration.experts, "as many experts as the configuration has")
        self.configuration = configuration
        self.router = router
        self.experts = experts
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor { try routed(x).output }

    /// `[…, hidden]` gives the same shape, and how the tokens were dealt out.
    public func routed(_ x: Tensor) throws -> (output: Tensor, routing: Routing) {
        let flat = try x.reshape([-1, x.size(-1)]), tokens = flat.size(0), active = configuration.active
        let routing = try Routing(logits: router(flat), active: active)
        guard tokens > 0 || exchange != nil else { return (x, routing) }

        // Places sorted by expert: each expert's tokens lie together.
        let order = routing.order, device = x.device
        let gathered = try flat.indexSelect(0, Tensor(order.map { $0 / active }).to(device))
        let computed =
            try exchange.map { try $0.computed(gathered, counts: routing.counts, experts) }
            ?? compute(gathered, experts[...], routing.counts)
        var inverse = [Int](repeating: 0, count: order.count)
        for (row, place) in order.enumerated() { inverse[place] = row }
        let outputs = try computed.indexSelect(0, Tensor(inverse).to(device)).view([tokens, active, flat.size(1)])
        let weights = try routing.weights.to(x.dtype).unsqueeze(2)
        return (try (outputs * weights).sum([1]).reshape(x.shape), routing)
    }
}

/// The outputs of experts for rows that lie expert by expert, so many for each.
func compute(_ rows: Tensor, _ experts: ArraySlice<any FeedForward>, _ counts: [Int]) throws -> Tensor {
    var parts: [Tensor] = [], start = 0
    for (expert, count) in zip(experts, counts) where count > 0 {
        parts.append(try expert(rows.slice(0, start..<start + count)))
        start += count
    }
    // Nothing to compute, but still a part of the graph: gradients of no rows go back the same way.
    return parts.isEmpty ? rows : try Tensor.cat(parts)
}

extension MixtureOfExperts {
    /// Has a part of the experts from now on, and of their matrices, see `DivisibleBlock`.
    func divide(tensor: TensorDivision?, experts division: ExpertDivision?) throws {
        for expert in experts.compactMap({ $0 as? any DivisibleFeedForward }) { expert.divide(tensor) }
        guard let division else { return }
        let group = division.group, perRank = experts.count / group.size, ways = division.pieces.size / group.size
        for (index, expert) in experts.enumerated() {
            guard let expert = expert as? GatedFeedForward else { continue }
            let weights = [expert.gate, expert.up, expert.down].map(\.weight)
            for parameter in weights + weights.flatMap({ $0.adapter?.parameters ?? [] }) {
                let former = parameter.partition
                if former == nil, ways > 1 {
                    // Each of those that divide the matrices has all of it.
                    parameter.partition = Partition(
                        shape: parameter.shape, dimension: 0,
                        ranges: (0..<group.size).map { $0 == index / perRank ? [0..<parameter.shape[0]] : [] },
                        group: group, copies: division.copies)
                    continue
                }
                var ranges = [[Range<Int>]](repeating: [], count: division.pieces.size)
                for way in 0..<ways {
                    ranges[index / perRank * ways + way] = former?.ranges[way] ?? [0..<parameter.shape[0]]
                }
                parameter.partition = Partition(
                    shape: parameter.shape, dimension: former?.dimension ?? 0, ranges: ranges, group: division.pieces,
                    copies: division.copies)
            }
        }
        exchange = try ExpertExchange(group, perRank: perRank)
    }

    func unite() {
        for expert in experts.compactMap({ $0 as? any DivisibleFeedForward }) { expert.divide(nil) }
        exchange = nil
    }

    var anchors: [Tensor] { exchange.map { [$0.anchor] } ?? [] }
}

extension MixtureOfExperts? {
    /// Runs `body` with other anchors, as many as there are.
    func anchored<Result>(to anchors: some Collection<Tensor>, _ body: () throws -> Result) rethrows -> Result {
        guard let exchange = self?.exchange, let anchor = anchors.first else { return try body() }
        let own = exchange.anchor
        exchange.anchor = anchor
        defer { exchange.anchor = own }
        return try body()
    }
}

/// How a router dealt tokens out to experts.
public struct Routing: Sendable {
    /// The router's scores, `[tokens, experts]`, float32.
    public let logits: Tensor
    /// The chosen experts of each token, best first, `[tokens, active]`, int64.
    public let experts: Tensor
    /// Their shares, which add up to 1, `[tokens, active]`, float32.
    public let weights: Tensor
    /// How many tokens each expert computes.
    public let counts: [Int]
    /// Places of `experts`, flat, sorted by expert.
    let order: [Int]

    init(logits: Tensor, active: Int) throws {
        self.logits = try logits.to(.float32)
        let best = try self.logits.softmax(-1).topK(active)
        experts = best.indices
        weights = try best.values / best.values.sum([-1], keepDimensions: true)
        var rows = [[Int]](repeating: [], count: logits.size(1))
        for (place, expert) in try best.indices.integers().enumerated() { rows[expert].append(place) }
        counts = rows.map(\.count)
        order = rows.flatMap { $0 }
    }

    private init(logits: Tensor, weights: Tensor, of other: Routing) {
        self.logits = logits
        self.weights = weights
        (experts, counts, order) = (other.experts, other.counts, other.order)
    }

    /// The same without a way back for gradients.
    func detached() throws -> Routing {
        Routing(logits: try logits.detach(), weights: try weights.detach(), of: self)
    }

    /// The same choices by the same scores, whose gradients flow another way.
    func following(_ logits: Tensor) -> Routing { Routing(logits: logits, weights: weights, of: self) }

    /// The load-balancing loss of Switch Transformers (equations 4 to 6), as Mixtral has it for several choices a token
    /// and all layers together: the number of experts times the sum, over choices and experts, of the share of tokens
    /// that chose an expert and its mean probability. Evenly spread tokens give the number of choices.
    ///
    /// - Parameters:
    ///   - routings: those of all layers, over the same tokens.
    ///   - counting: which tokens count, `[tokens]`, 1 or 0; all where it is nil.
    public static func balanceLoss(_ routings: [Routing], counting mask: Tensor? = nil) throws -> Tensor {
        guard let first = routings.first else { return try Tensor.scalar(0) }
        let count = first.logits.size(1)
        let probabilities = try Tensor.cat(routings.map { try $0.logits.softmax(-1) })
        // [layers × tokens, active, experts]
        let chosen = try Tensor.cat(routings.map { try $0.experts.oneHot(count).to(.float32) })
        guard let mask else {
            return try (chosen.mean([0]) * probabilities.mean([0]).unsqueeze(0)).sum() * Double(count)
        }
        let weight = try mask.to(.float32).reshape([-1]).tile(routings.count)  // [layers × tokens]
        let total = try weight.sum()
        let share = try (chosen * weight.unsqueeze(1).unsqueeze(2)).sum([0]) / total
        let probability = try (probabilities * weight.unsqueeze(1)).sum([0]) / total
        return try (share * probability.unsqueeze(0)).sum() * Double(count)
    }

    /// The router z-loss of ST-MoE (equation 5): the mean square of each token's log-sum-exp of scores, over all layers.
    public static func routerLoss(_ routings: [Routing]) throws -> Tensor {
        guard !routings.isEmpty else { return try Tensor.scalar(0) }
        return try Tensor.cat(routings.map(\.logits)).logSumExp([-1]).square().mean()
    }
}
