// The stock Socket.IO client, driven line by line: `node client.js <url> <options as JSON>`.
//
// In:  {"id":1,"event":"sendMessage","data":{…}}   emits with an acknowledgement callback
// Out: {"id":1,"ack":{…}}                          the acknowledgement
//      {"event":"newMessage","args":[…]}           everything the server emits, and the client's own
//                                                  connect, connect_error and disconnect
'use strict';

const { io } = require('socket.io-client');
const readline = require('node:readline');

const [url, options] = process.argv.slice(2);
const print = (line) => process.stdout.write(JSON.stringify(line) + '\n');

const socket = io(url, { transports: ['websocket'], ...JSON.parse(options || '{}') });

socket.on('connect', () => print({ event: 'connect', args: [{ id: socket.id, recovered: socket.recovered }] }));
socket.on('connect_error', (e) => print({ event: 'connect_error', args: [{ message: e.message, data: e.data ?? null }] }));
socket.on('disconnect', (reason) => print({ event: 'disconnect', args: [reason] }));
socket.onAny((event, ...args) => print({ event, args }));

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (text) => {
  const line = JSON.parse(text);
  socket.timeout(20000).emit(line.event, line.data, (error, ack) => {
    print({ id: line.id, ack: error ? { success: false, error: String(error) } : ack });
  });
});
lines.on('close', () => process.exit(0));
