package dev.sprat.sample

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Box
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.imePadding
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.layout.safeDrawingPadding
import androidx.compose.foundation.layout.widthIn
import androidx.compose.foundation.lazy.LazyColumn
import androidx.compose.foundation.lazy.items
import androidx.compose.foundation.lazy.rememberLazyListState
import androidx.compose.material3.Button
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.OutlinedTextField
import androidx.compose.material3.Surface
import androidx.compose.material3.Text
import androidx.compose.material3.TextButton
import androidx.compose.runtime.Composable
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.saveable.rememberSaveable
import androidx.compose.runtime.setValue
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.unit.dp

/** The whole app: what was said, what is being said, and a line to say something. */
@Composable
fun ChatScreen(state: ChatState, onSend: (String) -> Unit, onStop: () -> Unit, onChoose: () -> Unit) {
    Surface(Modifier.fillMaxSize()) {
        Column(Modifier.safeDrawingPadding().imePadding().padding(12.dp)) {
            Row(Modifier.fillMaxWidth(), Arrangement.SpaceBetween, Alignment.CenterVertically) {
                Text(state.model ?: "Opening …", style = MaterialTheme.typography.titleMedium)
                TextButton(onChoose) { Text("Model …") }
            }
            Lines(state, Modifier.weight(1f))
            state.trouble?.let { Text(it, color = MaterialTheme.colorScheme.error) }
            Text(state.figures, style = MaterialTheme.typography.labelSmall)
            Entry(state, onSend, onStop)
        }
    }
}

@Composable
private fun Lines(state: ChatState, modifier: Modifier) {
    val all = state.lines + listOfNotNull(state.answer?.let { Line(false, it) })
    val position = rememberLazyListState()
    // The newest stays in sight while it grows.
    LaunchedEffect(all.size, state.answer) { if (all.isNotEmpty()) position.scrollToItem(all.lastIndex, Int.MAX_VALUE) }
    LazyColumn(modifier, position, verticalArrangement = Arrangement.spacedBy(8.dp)) {
        items(all) { line ->
            Box(Modifier.fillMaxWidth(), if (line.fromUser) Alignment.CenterEnd else Alignment.CenterStart) {
                val colors = MaterialTheme.colorScheme
                Surface(
                    color = if (line.fromUser) colors.primaryContainer else colors.surfaceVariant,
                    shape = MaterialTheme.shapes.medium,
                ) {
                    Text(line.text, Modifier.padding(10.dp).widthIn(max = 280.dp))
                }
            }
        }
    }
}

@Composable
private fun Entry(state: ChatState, onSend: (String) -> Unit, onStop: () -> Unit) {
    var text by rememberSaveable { mutableStateOf("") }
    Row(Modifier.fillMaxWidth(), Arrangement.spacedBy(8.dp), Alignment.CenterVertically) {
        OutlinedTextField(text, { text = it }, Modifier.weight(1f), placeholder = { Text("Message") })
        if (state.answer != null) {
            Button(onStop) { Text("Stop") }
        } else {
            Button({ onSend(text); text = "" }, enabled = state.canSend && text.isNotBlank()) { Text("Send") }
        }
    }
}
