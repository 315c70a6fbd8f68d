package caa

import "github.com/coredns-caa/caa/plugin/caa/linelog"

// pluginName is the name of the plugin in the Corefile, in metrics and in the log.
const pluginName = "caa"

var log = linelog.New(pluginName)
