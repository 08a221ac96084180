// All text of the page, for translators. Names of codecs and options, their help, and errors come
// from the server. {braces} are filled in.

export const TEXT = {
  title: "comrec",
  subtitle: "smaller image files with neural networks",
  noscript: "This page needs JavaScript.",

  choose: "Open photographs",
  chooseFolder: "Open a folder",
  emptyTitle: "Drop photographs here",
  emptyHelp: "or paste one, or choose files or a folder. They stay on the computer that runs comrec.",
  dropHere: "Drop to open",

  viewer: "Comparison",
  stage: "Original on the left, result on the right. Arrow keys move the picture, plus and minus zoom, B shows the original.",
  divider: "Divider between original and result",
  viewGroup: "What the right side shows",
  viewResult: "Result",
  viewPlain: "Other viewers",
  viewPlainHelp: "What software without the network shows of this file",
  viewDifference: "Difference",
  viewDifferenceHelp: "How far the result is from the original, 8 times amplified",
  viewImportance: "Importance",
  viewImportanceHelp: "Which part of the picture matters, by the network or by the region that is set",
  zoomGroup: "Zoom",
  zoomIn: "Zoom in",
  zoomOut: "Zoom out",
  zoomFit: "Fit",
  zoomFitHelp: "Show the whole picture",
  zoomOne: "100 %",
  zoomOneHelp: "One pixel of the picture for one of the screen",
  blink: "Blink",
  blinkHelp: "Show the original on the whole stage; hold the key B for the same",
  sideOriginal: "Original",
  sidePreview: "Preview",
  sideWaiting: "No result yet",
  half: "{width} × {height} there",

  keysTitle: "Keys",
  keys: "B original · D difference · O other viewers · M importance · R result · F fit · 1 100 % · + − zoom · arrows move · [ ] divider",

  photographs: "Photographs",
  removePhoto: "Close {name}",

  settings: "Settings",
  codec: "Codec",
  codecNumber: "Codec {number}",
  addCodec: "Compare with another codec",
  removeCodec: "Remove codec {number}",
  options: "Options",
  byDefault: "default",
  yes: "yes",
  no: "no",
  aim: "Aim",
  aimQuality: "Quality",
  aimTarget: "Target",
  quality: "Quality, 0 to 100",
  target: "Target",
  targetHelp: "40 kB · 0.5 bpp · 38 dB · SSIMULACRA2 70 · MS-SSIM 0.98 · jpeg:50",
  region: "Part that matters",
  regionNone: "none",
  regionAuto: "auto, by the network",
  regionCentre: "centre",
  regionRectangles: "rectangles",
  regionText: "Rectangles: left,top,width x height; joined by semicolons",
  strength: "Strength, dB",
  conversions: "Conversions",
  conversionsHelp: "For pictures that the codec cannot store as they are.",

  result: "Result",
  noResult: "Choose a quality or a target: the numbers appear here.",
  bytes: "File",
  bytesValue: "{bytes} bytes",
  ofOriginal: "{percent} % of the original file",
  bpp: "Bits per pixel",
  psnr: "PSNR",
  psnrValue: "{value} dB",
  ms_ssim: "MS-SSIM",
  ssimulacra2: "SSIMULACRA2",
  exact: "lossless",
  tooSmall: "picture too small",
  pending: "…",
  qualityFound: "Quality",
  seconds: "Encode / decode",
  secondsValue: "{encode} s / {decode} s",
  shown: "Others see",
  download: "Download file",
  command: "Command",
  commandHelp: "The same file on the command line",
  copy: "Copy",
  copied: "Copied",

  cancel: "Cancel",
  waiting: "waiting",
  phase_reading: "reading",
  phase_encoding: "encoding",
  phase_decoding: "decoding",
  phase_psnr: "measuring PSNR",
  phase_ssimulacra2: "measuring SSIMULACRA2",
  phase_ms_ssim: "measuring MS-SSIM",
  phase_importance: "finding what matters",
  working: "{what}: {phase}",
  uploading: "{name}: uploading",
  cancelled: "{what}: cancelled",
  lost: "The connection to the server is lost; trying again.",
  tooLarge: "{name}: more than {most} MiB",
  closeMessage: "Close message",

  prefixes: "First bytes",
  prefixesHelp: "What the first bytes of a progressive file show",
  showPrefixes: "Show what the first bytes give",
  prefix: "{percent} %",
  prefixFacts: "{bytes} bytes, {psnr} dB",
  prefixShort: "too short",

  tries: "Tried",
  triesCodec: "Codec",
  triesShow: "Show {codec}, {bytes} bytes",
  triesRemove: "Remove",
  triesRemoveOne: "Remove {codec}, {bytes} bytes",
  triesDownload: "Save",
  triesDownloadOne: "Save {name}, {bytes} bytes",
  triesActions: "Actions",
  plot: "Rate and distortion",
  plotMetric: "Metric",
  plotDescription: "{metric} over bits per pixel: {points} points of {codecs} codecs; the table has their numbers.",
  plotEmpty: "Results appear here as settings are tried.",

  batch: "All photographs",
  batchStart: "Encode all {count}",
  batchHelp: "With the first codec and the settings above.",
  batchProgress: "{done} of {count}",
  batchTotals: "{done} files, {before} to {after} bytes ({percent} %)",
  batchFailures: "{count} failed",
  batchCancelled: "Cancelled. {totals}",
  batchSave: "Download all (.zip)",
};

/** A text with its {braces} filled in. */
export function text(key, values = {}) {
  return TEXT[key].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** Put texts into elements with data-text, and labels into those with data-label. */
export function fill(root) {
  for (const element of root.querySelectorAll("[data-text]")) {
    element.textContent = text(element.dataset.text);
  }
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", text(element.dataset.label));
  }
  for (const element of root.querySelectorAll("[data-help]")) {
    element.title = text(element.dataset.help);
  }
}
