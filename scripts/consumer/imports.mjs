// Imports every module that is named on the command line, and tells as JSON which of them cannot be imported.
const failures = {}
for (const specifier of process.argv.slice(2)) {
  try {
    await import(specifier)
  } catch (error) {
    failures[specifier] = error.message
  }
}
process.stdout.write(JSON.stringify(failures), () => process.exit(Object.keys(failures).length === 0 ? 0 : 1))
