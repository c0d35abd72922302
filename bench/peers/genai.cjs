// node bench/peers/genai.cjs <what> <base URL> ...: the official JavaScript SDK at the work of bench/client.lua.

const { GoogleGenAI } = require('@google/genai');

const QUESTION = 'What does this slide promise?';

function newClient(base) {
  return new GoogleGenAI({ apiKey: 'bench-bench-bench-bench', httpOptions: { baseUrl: base, apiVersion: 'v1beta' } });
}

// Seconds, user and system, of all threads.
function cpu() {
  const used = process.cpuUsage();
  return (used.user + used.system) / 1e6;
}

function report(begin, times) {
  console.log(`cpu ${(cpu() - begin) / times}`);
}

async function read(client, model) {
  let seen = 0;
  for await (const chunk of await client.models.generateContentStream({ model, contents: QUESTION })) {
    seen += chunk.usageMetadata.totalTokenCount > 0 ? 1 : 0;
  }
  return seen;
}

// Runs it once before, so that what is measured is warm.
async function measure(work, times) {
  await work();
  const begin = cpu();
  for (let i = 0; i < times; i++) await work();
  report(begin, times);
}

const works = {
  async start(base) {
    await newClient(base).models.generateContent({ model: 'small', contents: QUESTION });
  },

  async warm(base, times) {
    const client = newClient(base);
    await measure(() => read(client, 'events-1'), times);
  },

  async stream(base, count) {
    const client = newClient(base);
    const begin = cpu();
    if (await read(client, `events-${count}`) !== count) throw new Error('events were lost');
    report(begin, 1);
  },

  async inline(base, path, times) {
    const client = newClient(base);
    const fs = require('fs');
    await measure(async () => {
      const data = fs.readFileSync(path).toString('base64');
      const image = { inlineData: { mimeType: 'image/png', data } };
      await client.models.generateContent({ model: 'small', contents: ['Describe it.', image] });
    }, times);
  },

  async upload(base, path) {
    const client = newClient(base);
    const begin = cpu();
    await client.files.upload({ file: path, config: { mimeType: 'video/mp4' } });
    report(begin, 1);
  },
};

const [what, ...given] = process.argv.slice(2);
works[what](...given.map((text) => (/^\d+$/.test(text) ? Number(text) : text))).catch((error) => {
  console.error(error);
  process.exit(1);
});
