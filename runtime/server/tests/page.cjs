// Run by ci/page: the page of clothseg-serve in headless Chromium.
"use strict";

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { chromium } = require("playwright-core");

const SAMPLES = path.join(__dirname, "../../../samples");
const PHOTO = path.join(SAMPLES, "astronaut.png");
const LIMIT_MS = 120_000; // for one step; generous, as machines may be slow

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

/** Starts the server on a free port; resolves to its process and address. */
function startServer() {
  const child = spawn(process.env.SERVE, ["--listen", "127.0.0.1:0"], { stdio: ["ignore", "ignore", "pipe"] });
  return new Promise((resolve, reject) => {
    let log = "";
    child.on("exit", (code) => reject(new Error(`the server ended with ${code}: ${log}`)));
    child.stderr.on("data", (bytes) => {
      log += bytes;
      const found = /listening on (http:\S+)/.exec(log);
      if (found) resolve({ child, url: found[1] });
    });
  });
}

/** Opens the page, and keeps what goes wrong in it. */
async function openPage(browser, url, options = {}) {
  const context = await browser.newContext({ acceptDownloads: true, ...options });
  context.setDefaultTimeout(LIMIT_MS);
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol !== "blob:" && protocol !== "data:" && host !== new URL(url).host) faults.push(`asks ${request.url()}`);
  });
  await page.goto(url);
  return { page, context, faults };
}

const isDone = (page) => page.waitForFunction(() => / found in /.test(document.getElementById("status").textContent));
const refusal = (page) => page.locator("#error").textContent();

/** What the API says of a photo: classes, and the index of each pixel as the page reads it. */
async function labelsOf(page, file) {
  const body = [...fs.readFileSync(file)];
  return page.evaluate(async (bytes) => {
    const ask = (format) => fetch(`v1/segment?classes=all&format=${format}`, {
      method: "POST", body: new Uint8Array(bytes), headers: { "content-type": "image/png" },
    });
    const json = await (await ask("json")).json();
    const mask = async (one) => {
      const answer = await fetch(`v1/masks/${one.name}`, { method: "POST", body: new Uint8Array(bytes), headers: { "content-type": "image/png" } });
      const bitmap = await createImageBitmap(await answer.blob());
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height), context = canvas.getContext("2d");
      context.drawImage(bitmap, 0, 0);
      return context.getImageData(0, 0, bitmap.width, bitmap.height).data.filter((_, at) => at % 4 === 0);
    };
    const found = json.classes.filter((one) => one.area_px > 0);
    const classes = (await (await fetch("v1/classes")).json()).classes;
    const canvas = document.getElementById("tint");
    const tint = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const wrong = {};
    let tinted = 0;
    for (let at = 3; at < tint.length; at += 4) tinted += tint[at] > 0;
    let expected = 0;
    for (const one of found) {
      const { color, kind } = classes[one.index], pixels = await mask(one);
      const isShown = kind === "garment";
      wrong[one.name] = 0;
      for (let at = 0; at < pixels.length; at++) {
        if (!pixels[at]) continue;
        expected += isShown;
        const [r, g, b, alpha] = tint.slice(4 * at, 4 * at + 4);
        const isTinted = alpha > 0 && Math.abs(r - color[0]) < 3 && Math.abs(g - color[1]) < 3 && Math.abs(b - color[2]) < 3;
        wrong[one.name] += isTinted !== isShown;
      }
    }
    return { width: json.width, height: json.height, canvas: [canvas.width, canvas.height], names: found.map((one) => one.name), wrong, tinted, expected };
  }, body);
}

async function drop(page, name, type, content) {
  const transfer = await page.evaluateHandle(([name, type, bytes]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
    return transfer;
  }, [name, type, [...content]]);
  for (const kind of ["dragover", "drop"]) await page.dispatchEvent("main", kind, { dataTransfer: transfer });
}

async function paste(page, name, type, content) {
  await page.evaluate(([name, type, bytes]) => {
    const clipboardData = new DataTransfer();
    if (name) clipboardData.items.add(new File([new Uint8Array(bytes)], name, { type }));
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
  }, [name, type, [...content]]);
}

async function download(page, kind) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click(`[data-download=${kind}]`)]);
  return { name: file.suggestedFilename(), content: fs.readFileSync(await file.path()) };
}

const tests = {
  async "a chosen photo is drawn as the API sees it"({ page }) {
    await page.setInputFiles("#file", PHOTO);
    await isDone(page);
    const { width, height, canvas, names, wrong, tinted, expected } = await labelsOf(page, PHOTO);
    assert.deepEqual(canvas, [width, height]);
    assert.ok(names.length > 0 && tinted > 0);
    assert.equal(tinted, expected, "pixels that are tinted");
    for (const name of names) assert.equal(wrong[name], 0, `pixels of ${name} that are tinted wrongly`);
    assert.equal(await page.locator("#classes input").count(), names.length);
    assert.equal(await page.evaluate(() => document.activeElement.id), "result-title");
  },

  async "classes are chosen by checkbox, with the keyboard"({ page }) {
    await page.setInputFiles("#file", PHOTO);
    await isDone(page);
    const tinted = () => page.evaluate(() => {
      // A copy, as Chromium complains of canvases that are read often.
      const tint = document.getElementById("tint"), { width, height } = tint;
      const context = new OffscreenCanvas(width, height).getContext("2d");
      context.drawImage(tint, 0, 0);
      return context.getImageData(0, 0, width, height).data.filter((alpha, at) => at % 4 === 3 && alpha).length;
    });
    const all = await tinted();
    await page.locator("#classes input").first().focus();
    await page.keyboard.press("Space");
    assert.ok((await tinted()) < all);
    await page.click("#none");
    assert.equal(await tinted(), 0);
    assert.ok(await page.locator("[data-download=mask]").isDisabled());
    await page.click("#all");
    assert.ok((await tinted()) >= all);
    assert.match(await page.locator("#tint").getAttribute("aria-label"), /^Tinted: /);
  },

  async "the slider compares, by key and by pointer"({ page }) {
    await page.setInputFiles("#file", PHOTO);
    await isDone(page);
    const share = () => page.evaluate(() => /([\d.]+)%\)$/.exec(document.getElementById("tinted").style.clipPath)[1]);
    assert.equal(Number(await share()), 0);
    await page.locator("#compare").focus();
    await page.keyboard.press("ArrowRight");
    assert.equal(Number(await share()), 1);
    const box = await page.locator("#picture").boundingBox();
    await page.mouse.move(box.x + box.width * 0.2, box.y + 20);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.6, box.y + 20);
    await page.mouse.up();
    assert.ok(Math.abs(Number(await share()) - 60) < 2);
  },

  async "a dropped photo and a pasted one are taken"({ page }) {
    const photo = fs.readFileSync(path.join(SAMPLES, "hopper.jpg"));
    await drop(page, "dropped.jpg", "image/jpeg", photo);
    await isDone(page);
    assert.equal(await page.locator("#photo").evaluate((canvas) => canvas.height), 600);
    await paste(page, "pasted.png", "image/png", fs.readFileSync(PHOTO));
    await page.waitForFunction(() => document.getElementById("photo").height === 512);
    await isDone(page);
    assert.ok(await page.locator("#error").isHidden());
  },

  async "what is no photo is refused in words"({ page, faults }) {
    await drop(page, "notes.txt", "text/plain", Buffer.from("notes"));
    assert.match(await refusal(page), /notes\.txt is not a photo/);
    await paste(page, "", "", Buffer.alloc(0));
    assert.match(await refusal(page), /no photo in what was pasted/);
    // One that only says that it is a photo is refused by the server.
    await drop(page, "broken.jpg", "image/jpeg", Buffer.from("notes"));
    await page.waitForFunction(() => /server says/.test(document.getElementById("error").textContent));
    assert.match(await refusal(page), /not a readable photo/);
    assert.ok(await page.locator("#start").isVisible());
    // Chromium itself writes the refused request to the console.
    const own = faults.splice(0).filter((fault) => !/status of 422/.test(fault));
    assert.deepEqual(own, []);
  },

  async "a refusal ends the photo before it, whose result would stand below it"({ page }) {
    await page.setInputFiles("#file", PHOTO);
    await drop(page, "notes.txt", "text/plain", Buffer.from("notes"));
    assert.match(await refusal(page), /notes\.txt is not a photo/);
    assert.equal(await page.locator("#status").textContent(), "");
    assert.ok(await page.locator("#start").isVisible());
    await page.setInputFiles("#file", PHOTO);
    await isDone(page);
    assert.ok(await page.locator("#error").isHidden());
  },

  async "results are downloaded under the photo's name"({ page }) {
    await page.setInputFiles("#file", PHOTO);
    await isDone(page);
    const mask = await download(page, "mask"), cutout = await download(page, "cutout");
    assert.deepEqual([mask.name, cutout.name], ["astronaut.mask.png", "astronaut.cutout.png"]);
    for (const { content } of [mask, cutout]) assert.equal(content.subarray(1, 4).toString(), "PNG");
    // Colour types of PNG: grey, and with alpha.
    assert.deepEqual([mask.content[25], cutout.content[25]], [0, 6]);
    const svg = await download(page, "svg"), json = await download(page, "json");
    assert.deepEqual([svg.name, json.name], ["astronaut.svg", "astronaut.json"]);
    assert.match(svg.content.toString(), /<svg/);
    assert.ok(JSON.parse(json.content).classes.length > 0);
  },

  async "the sample needs no file"({ page }) {
    await page.click("#sample");
    await isDone(page);
    assert.ok((await page.locator("#classes li").count()) > 0);
    assert.match(await page.locator("#model").textContent(), /^Model \S+ on /);
  },

  async "everything can be reached with the Tab key, and has a name"({ page }) {
    const reached = async () => {
      const names = [];
      for (let presses = 0; presses < 60; presses++) {
        await page.keyboard.press("Tab");
        const name = await page.evaluate(() => {
          const one = document.activeElement;
          return one === document.body ? "" : one.getAttribute("aria-label") || one.labels?.[0]?.textContent || one.textContent || `#${one.id}`;
        });
        if (!name || names.includes(name)) break;
        names.push(name.trim());
      }
      return names;
    };
    assert.deepEqual((await reached()).slice(0, 2), ["Choose a photo", "Use the sample"]);
    await page.click("#sample");
    await isDone(page);
    const names = await reached();
    for (const wanted of ["All", "None", "MaskPNG", "Another photo"]) assert.ok(names.includes(wanted), `${wanted} in ${names}`);
  },
};

async function screenshots(browser, url, folder) {
  fs.mkdirSync(folder, { recursive: true });
  const sizes = { wide: { width: 1280, height: 860 }, phone: { width: 390, height: 844 } };
  for (const colorScheme of ["light", "dark"]) {
    for (const [size, viewport] of Object.entries(sizes)) {
      const { page, context } = await openPage(browser, url, { viewport, colorScheme });
      const shot = (name) => page.screenshot({ path: path.join(folder, `${colorScheme}-${size}-${name}.png`), fullPage: true });
      await page.waitForFunction(() => document.getElementById("model").textContent);
      await shot("start");
      await drop(page, "notes.txt", "text/plain", Buffer.from("notes"));
      await shot("refused");
      await page.click("#sample");
      await isDone(page);
      await shot("result");
      await page.locator("#compare").fill("45");
      await page.locator("summary").click();
      await shot("compared");
      await context.close();
    }
  }
}

async function main() {
  const { child, url } = await startServer();
  child.removeAllListeners("exit");
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), "clothseg-page-"));
  let failed = 0;
  try {
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS, env: { ...process.env, HOME: profile } });
    if (process.env.SCREENSHOTS) {
      await screenshots(browser, url, process.env.SCREENSHOTS);
    }
    for (const [name, test] of Object.entries(tests)) {
      const { page, context, faults } = await openPage(browser, url);
      try {
        await test({ page, faults });
        assert.deepEqual(faults, [], "the console is silent, and nobody else is asked");
        console.log(`ok      ${name}`);
      } catch (error) {
        failed += 1;
        console.log(`FAILED  ${name}\n${error.stack}`);
      }
      await context.close();
    }
    await browser.close();
  } finally {
    child.kill("SIGTERM");
    fs.rmSync(profile, { recursive: true, force: true });
  }
  console.log(`ci/page: ${Object.keys(tests).length - failed} of ${Object.keys(tests).length} tests passed`);
  process.exitCode = failed ? 1 : 0;
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
