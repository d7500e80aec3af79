// Everything that must hold before a release is everything that must hold: the same checks as the tests.
await import("./test.mjs")
