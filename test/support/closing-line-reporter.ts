// Prints the closing line that says how many tests ran: `N passed, N failed, N skipped`.
import type { Reporter, TestModule } from 'vitest/node'

export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const count = { passed: 0, failed: 0, skipped: 0, pending: 0 }
    let brokenFiles = 0
    for (const module of modules) {
      for (const test of module.children.allTests()) count[test.result().state]++
      if (!module.ok() && [...module.children.allTests('failed')].length === 0) brokenFiles++
    }
    const failed = count.failed + brokenFiles
    console.log(
      `\n${count.passed} passed, ${failed} failed, ${count.skipped + count.pending} skipped`,
    )
  }
}
