public import NN
public import Torch

/// The vision part of a design: one tower, or several whose results are averaged, and what connects them to the decoder.
public struct VisionDesign: Sendable {
    public struct Tower: Sendable {
        /// What stands before its parameters' names, without the last dot.
        public var prefix: String
        public var configuration: any VisionTowerConfiguration

        public init(_ prefix: String, _ configuration: any VisionTowerConfiguration) {
            self.prefix = prefix
            self.configuration = configuration
        }
    }

    public var towers: [Tower]
    public var connectorPrefix: String
    public var connector: any ConnectorConfiguration
    /// What the names of the connector's parameters begin with behind the prefix; empty for all that is there.
    public var connectorNames: [String] = []

    public init(towers: [Tower], connectorPrefix: String, connector: any ConnectorConfiguration) {
        precondition(!towers.isEmpty, "a vision part has a tower")
        self.towers = towers
        self.connectorPrefix = connectorPrefix
        self.connector = connector
    }

    /// Whether a parameter is the connector's.
    func isConnector(_ name: String) -> Bool {
        guard name.hasPrefix(connectorPrefix + ".") else { return false }
        let rest = name.dropFirst(connectorPrefix.count + 1)
        return connectorNames.isEmpty || connectorNames.contains { rest.hasPrefix($0) }
    }

    /// Builds the vision part with the released key names.
    public func makeEncoder(_ root: ParameterScope) throws -> AssembledVision {
        let made = try towers.map { try $0.configuration.makeTower(root.nested($0.prefix)) }
        return AssembledVision(towers: made, connector: try connector.makeConnector(root.nested(connectorPrefix)))
    }
}

/// Towers and the connector that all of them share (POINTS 1.0 has two towers, the other systems one).
public final class AssembledVision: VisionEncoder {
    public let towers: [any VisionTower]
    public let connector: any Connector

    init(towers: [any VisionTower], connector: any Connector) {
        self.towers = towers
        self.connector = connector
    }

    public func features(_ items: [VisualItem], _ context: ForwardContext) throws -> Tensor {
        let features = try towers.map { try connector($0(items, context), context) }
        guard features.count > 1 else { return features[0] }
        let share = 1 / Double(features.count)
        return try features.dropFirst().reduce(features[0] * share) { try $0 + $1 * share }
    }
}

extension ParameterScope {
    /// The scope of a prefix with dots in it; this one for an empty prefix.
    func nested(_ prefix: String) -> ParameterScope {
        prefix.split(separator: ".").reduce(self) { $0[String($1)] }
    }
}
