// Marks the words that two texts do not share, in place: a longest common subsequence over their words.

// Beyond this the table grows past what a key press may cost.
const MOST_CELLS = 12_000_000;

export function mark(a, b) {
  const left = wordsOf(a);
  const right = wordsOf(b);
  const common = commonWords(left.map((word) => word.text), right.map((word) => word.text));
  if (!common) return false;
  wrap(left.filter((_, i) => !common[0].has(i)));
  wrap(right.filter((_, i) => !common[1].has(i)));
  return true;
}

export function unmark(root) {
  for (const found of root.querySelectorAll("mark.differs")) found.replaceWith(...found.childNodes);
  root.normalize();
}

// Returns the indices in `a` and in `b` that belong to the common subsequence; null when the texts are too long.
export function commonWords(a, b) {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let endA = a.length;
  let endB = b.length;
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) {
    endA -= 1;
    endB -= 1;
  }
  const inA = new Set();
  const inB = new Set();
  for (let i = 0; i < start; i += 1) inA.add(i), inB.add(i);
  for (let i = endA, j = endB; i < a.length; i += 1, j += 1) inA.add(i), inB.add(j);
  const rows = endA - start;
  const columns = endB - start;
  if (rows * columns > MOST_CELLS) return null;
  const width = columns + 1;
  const length = new Uint16Array((rows + 1) * width); // length of the best match of the two tails
  for (let i = rows - 1; i >= 0; i -= 1) {
    for (let j = columns - 1; j >= 0; j -= 1) {
      length[i * width + j] =
        a[start + i] === b[start + j]
          ? length[(i + 1) * width + j + 1] + 1
          : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
    }
  }
  for (let i = 0, j = 0; i < rows && j < columns; ) {
    if (a[start + i] === b[start + j]) {
      inA.add(start + i);
      inB.add(start + j);
      i += 1;
      j += 1;
    } else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return [inA, inB];
}

// Words with the text node and offset each begins at. Languages without spaces are cut by the browser's segmenter.
function wordsOf(root) {
  const segmenter = "Segmenter" in Intl ? new Intl.Segmenter(undefined, { granularity: "word" }) : null;
  const words = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT, (node) =>
    node.parentElement.closest("button") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT,
  );
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parts = segmenter
      ? [...segmenter.segment(node.data)].map((part) => [part.segment, part.index])
      : [...node.data.matchAll(/\S+/g)].map((match) => [match[0], match.index]);
    for (const [text, index] of parts) if (text.trim()) words.push({ text, node, index });
  }
  return words;
}

// From the end, because cutting a text node moves what comes after the cut. Neighbours share one mark.
function wrap(words) {
  for (let last = words.length - 1; last >= 0; ) {
    let first = last;
    while (first > 0 && joins(words[first - 1], words[first])) first -= 1;
    const { node, index } = words[first];
    const range = document.createRange();
    range.setStart(node, index);
    range.setEnd(node, words[last].index + words[last].text.length);
    const found = document.createElement("mark");
    found.className = "differs";
    range.surroundContents(found);
    last = first - 1;
  }
}

function joins(before, after) {
  if (before.node !== after.node) return false;
  return before.node.data.slice(before.index + before.text.length, after.index).trim() === "";
}
