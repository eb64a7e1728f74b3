/**
 * Loaded before an engine under load: collects its heap when it is told to, so that what is measured then is what it holds,
 * and not also what nobody has swept up yet. Plain JavaScript, since the built engine runs without a loader.
 */
process.on('SIGUSR2', () => {
  global.gc();
  // What finalizers hold is freed by the second.
  global.gc();
});
