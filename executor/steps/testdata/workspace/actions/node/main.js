const fs = require('fs');
const text = process.env.INPUT_TEXT;
console.log('main: ' + text);
fs.appendFileSync(process.env.GITHUB_OUTPUT, `length=${text.length}\n`);
fs.appendFileSync(process.env.GITHUB_STATE, `kept=${text}\n`);
