@file:OptIn(kotlinx.validation.ExternalApi::class)

package dev.sprat

import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlinx.validation.api.dump
import kotlinx.validation.api.filterOutNonPublic
import kotlinx.validation.api.loadApiFromJvmClasses

class ApiTest {
    /**
     * What apps can call is what `api/sprat.api` records, so that no change of it goes unseen. One that is meant:
     * `mvn -f android/pom.xml verify -Dsprat.api.write=true`.
     */
    @Test
    fun `the public API is the recorded one`() {
        val classes = File(SpratLibrary::class.java.protectionDomain.codeSource.location.toURI())
        val streams = classes.walk().filter { it.extension == "class" }.sortedBy { it.path }.map { it.inputStream() }
        val api = StringBuilder()
        streams.loadApiFromJvmClasses().filterOutNonPublic().dump(api)
        val recorded = File(checkNotNull(System.getProperty("sprat.api")))
        if (System.getProperty("sprat.api.write") == "true") recorded.writeText(api.toString())
        assertEquals(recorded.readText(), api.toString())
    }
}
