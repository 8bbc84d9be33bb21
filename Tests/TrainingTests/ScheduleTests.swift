import Testing

@testable import Training

@Suite("Learning-rate schedules")
struct ScheduleTests {
    @Test("Warm-up rises linearly and never stands at nothing")
    func warmup() {
        let schedule = LearningRateSchedule(kind: .constant, warmupSteps: 4)
        #expect((0..<6).map { schedule.factor(step: $0, of: 100) } == [0.25, 0.5, 0.75, 1, 1, 1])
    }

    @Test("Cosine goes from one to the final ratio, half-way in the middle")
    func cosine() {
        let schedule = LearningRateSchedule(kind: .cosine, warmupSteps: 10, finalRatio: 0.1)
        #expect(schedule.factor(step: 10, of: 110) == 1)
        #expect(abs(schedule.factor(step: 60, of: 110) - 0.55) < 1e-12)
        #expect(abs(schedule.factor(step: 110, of: 110) - 0.1) < 1e-12)
        #expect(schedule.factor(step: 500, of: 110) == schedule.factor(step: 110, of: 110))
    }

    @Test("Linear falls evenly")
    func linear() {
        let schedule = LearningRateSchedule(kind: .linear, finalRatio: 0.5)
        #expect((0...4).map { schedule.factor(step: $0, of: 4) } == [1, 0.875, 0.75, 0.625, 0.5])
    }

    @Test("WSD stays, then falls over its last part")
    func wsd() {
        let schedule = LearningRateSchedule(kind: .wsd, warmupSteps: 2, decaySteps: 4)
        #expect((0...10).map { schedule.factor(step: $0, of: 10) } == [0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0])
    }
}
