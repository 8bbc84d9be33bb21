import CKernels
import Foundation
import Synchronization
import Testing

extension KernelTests {
    @Suite struct Features {
        /// Once the limit was the process's, and trainings beside the tests of kernels had other last bits in their sums.
        @Test func aLimitIsOfItsThread() {
            let best = ck_features(), elsewhere = Mutex(CK_LEVEL_PORTABLE)
            ck_limit_features(CK_LEVEL_PORTABLE)
            defer { ck_limit_features(best) }
            let done = DispatchSemaphore(value: 0)
            Thread {
                elsewhere.withLock { $0 = ck_features() }
                done.signal()
            }.start()
            done.wait()
            #expect(ck_features() == CK_LEVEL_PORTABLE)
            #expect(elsewhere.withLock { $0 } == best)
        }
    }
}
